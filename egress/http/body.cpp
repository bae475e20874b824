#include "egress/http/body.h"

#include <algorithm>

#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

// Small pieces that are there already travel together up to this size.
constexpr std::size_t kTogether = StreamReader::kPiece;

std::unexpected<Error> fail_short() {
  return fail(ErrorKind::unavailable, "the connection ended within a body");
}

void append_end(std::string& out, const BodyPath& path) {
  out += "0\r\n";
  Fields trailers = path.from.trailers();
  if (path.edit_trailers) path.edit_trailers(trailers);
  for (const Field& field : trailers.list()) {
    out += field.name + ": " + field.value + "\r\n";
  }
  out += "\r\n";
}

}  // namespace

Task<std::string_view> BodyReader::next() {
  reader_.consume(std::exchange(used_, 0));
  if (kind_ == BodyKind::none) co_return std::string_view();
  if (kind_ == BodyKind::chunked) co_return co_await next_chunk();
  if (kind_ == BodyKind::sized && left_ == 0) co_return std::string_view();
  if (reader_.empty()) {
    auto filled = co_await reader_.fill();
    if (!CO_TRY(std::move(filled))) {
      if (kind_ == BodyKind::sized) co_return fail_short();
      co_return std::string_view();
    }
  }
  std::string_view piece = reader_.view();
  if (kind_ == BodyKind::sized) {
    piece = piece.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece.size())));
    left_ -= piece.size();
  }
  used_ = piece.size();
  co_return piece;
}

Task<std::string_view> BodyReader::next_chunk() {
  while (!chunks_.ended()) {
    const ChunkDecoder::Step step = CO_TRY(chunks_.feed(reader_.view()));
    if (!step.payload.empty()) {
      used_ = step.used;
      co_return step.payload;
    }
    reader_.consume(step.used);
    if (step.used > 0) continue;
    auto filled = co_await reader_.fill();
    if (!CO_TRY(std::move(filled))) co_return fail_short();
  }
  co_return std::string_view();
}

asio::awaitable<std::optional<BodyError>> relay_body(BodyPath& path, std::string before) {
  std::string out = std::move(before);
  for (bool ended = false; !ended;) {
    if (!out.empty() && (!path.from.is_ready() || out.size() >= kTogether)) {
      path.bytes += out.size();
      auto written = co_await path.to.write(out);
      if (!written) co_return BodyError{BodySide::to, std::move(written).error()};
      out.clear();
    }
    auto piece = co_await path.from.next();
    if (!piece) co_return BodyError{BodySide::from, std::move(piece).error()};
    ended = piece->empty();
    if (ended) {
      if (path.chunked) append_end(out, path);
    } else if (path.chunked) {
      append_chunk_size(out, piece->size());
      out += *piece;
      out += "\r\n";
    } else {
      out += *piece;
    }
  }
  path.bytes += out.size();
  auto written = co_await path.to.write(out);
  if (!written) co_return BodyError{BodySide::to, std::move(written).error()};
  co_return std::nullopt;
}

}  // namespace agentvm::egress::http
