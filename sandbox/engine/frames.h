// Docker's stream of a container without a terminal: frames of standard output and standard error
// (Engine API, "Attach to a container": 1 byte of stream, 3 of zero, 4 of size, big endian).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::sandbox {

class FrameReader {
 public:
  // stream: 1 standard output, 2 standard error.
  using Sink = std::function<Result<void>(int stream, std::string_view bytes)>;
  explicit FrameReader(Sink sink) : sink_(std::move(sink)) {}

  // Any piece of the stream. Payload is handed on as it comes, never kept. unavailable for bytes
  // that are no frame.
  [[nodiscard]] Result<void> feed(std::string_view bytes);

 private:
  Sink sink_;
  unsigned char head_[8] = {};
  std::size_t head_size_ = 0;
  std::uint32_t left_ = 0;  // of the payload
};

}  // namespace agentvm::sandbox
