// Bodies of HTTP/1.1 messages on their way through: piece by piece, as they come.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "egress/http/chunks.h"
#include "egress/http/head.h"
#include "egress/http/stream_reader.h"

namespace agentvm::egress::http {

class BodyReader {
 public:
  BodyReader(StreamReader& reader, Framing framing)
      : reader_(reader), kind_(framing.kind), left_(framing.size) {}

  // What is there already, valid until the next call; an empty piece is the body's end; nothing:
  // fill() first. invalid_argument: its chunks are malformed.
  [[nodiscard]] Result<std::optional<std::string_view>> take();
  // unavailable: the stream ended within the body.
  [[nodiscard]] Task<void> fill();
  [[nodiscard]] const Fields& trailers() const { return chunks_.trailers(); }

 private:
  [[nodiscard]] Result<std::optional<std::string_view>> take_chunk();

  StreamReader& reader_;
  BodyKind kind_;
  std::uint64_t left_;
  std::size_t used_ = 0;  // of the reader's, by the piece that was given last
  bool at_end_ = false;   // the stream has ended
  ChunkDecoder chunks_;
};

struct BodyPath {
  BodyReader& from;
  ByteStream& to;
  bool chunked = false;  // how it is sent
  std::uint64_t& bytes;  // grows with what is sent
  std::function<void(Fields&)> edit_trailers;
};

// Sends `before` and the body behind it, each piece at once. BodySide tells who failed.
enum class BodySide : std::uint8_t { from, to };
struct BodyError {
  BodySide side = BodySide::from;
  Error error;
};
[[nodiscard]] asio::awaitable<std::optional<BodyError>> relay_body(BodyPath& path,
                                                                   std::string before);

}  // namespace agentvm::egress::http
