#include "egress/http/body.h"

#include <algorithm>

#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

// Small pieces that are there already travel together up to this size.
constexpr std::size_t kTogether = StreamReader::kPiece;

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

Result<std::optional<std::string_view>> BodyReader::take() {
  reader_.consume(std::exchange(used_, 0));
  if (kind_ == BodyKind::chunked) return take_chunk();
  std::string_view piece = reader_.view();
  if (kind_ == BodyKind::none) piece = {};
  if (kind_ == BodyKind::sized) {
    piece = piece.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece.size())));
    left_ -= piece.size();
  }
  used_ = piece.size();
  const bool more = kind_ == BodyKind::until_close || (kind_ == BodyKind::sized && left_ > 0);
  if (piece.empty() && more && !at_end_) return std::nullopt;
  return piece;
}

Result<std::optional<std::string_view>> BodyReader::take_chunk() {
  while (!chunks_.ended()) {
    const ChunkDecoder::Step step = TRY(chunks_.feed(reader_.view()));
    if (!step.payload.empty()) {
      used_ = step.used;
      return step.payload;
    }
    reader_.consume(step.used);
    if (step.used == 0) return std::nullopt;
  }
  return std::string_view();
}

Task<void> BodyReader::fill() {
  auto filled = co_await reader_.fill();
  at_end_ = !CO_TRY(std::move(filled));
  if (at_end_ && kind_ != BodyKind::until_close) {
    co_return fail(ErrorKind::unavailable, "the connection ended within a body");
  }
  co_return Result<void>();
}

asio::awaitable<std::optional<BodyError>> relay_body(BodyPath& path, std::string before) {
  std::string out = std::move(before);
  for (bool ended = false; !ended;) {
    auto piece = path.from.take();
    if (!piece) co_return BodyError{BodySide::from, std::move(piece).error()};
    if (!*piece || out.size() >= kTogether) {
      path.bytes += out.size();
      auto written = co_await path.to.write(out);
      if (!written) co_return BodyError{BodySide::to, std::move(written).error()};
      out.clear();
    }
    if (!*piece) {
      auto filled = co_await path.from.fill();
      if (!filled) co_return BodyError{BodySide::from, std::move(filled).error()};
      continue;
    }
    ended = (*piece)->empty();
    if (ended) {
      if (path.chunked) append_end(out, path);
    } else if (path.chunked) {
      append_chunk_size(out, (*piece)->size());
      out += **piece;
      out += "\r\n";
    } else {
      out += **piece;
    }
  }
  path.bytes += out.size();
  auto written = co_await path.to.write(out);
  if (!written) co_return BodyError{BodySide::to, std::move(written).error()};
  co_return std::nullopt;
}

}  // namespace agentvm::egress::http
