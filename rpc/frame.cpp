#include "rpc/frame.h"

#include <fmt/format.h>

#include <utility>

namespace agentvm::rpc {

namespace {

std::uint32_t big_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return value;
}

void append_big_endian(std::string& out, std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(value >> shift));
}

}  // namespace

Result<std::string> encode_frame(const Frame& frame) {
  if (frame.data.size() > kMaxFrameBytes) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("a message of {} bytes is past the limit of {}", frame.data.size(),
                            kMaxFrameBytes));
  }
  std::string bytes;
  bytes.reserve(kFrameHeaderBytes + frame.data.size());
  append_big_endian(bytes, static_cast<std::uint32_t>(frame.data.size()));
  append_big_endian(bytes, frame.stream_id);
  bytes.push_back(static_cast<char>(frame.type));
  bytes.push_back(static_cast<char>(frame.flags));
  bytes.append(frame.data);
  return bytes;
}

void FrameParser::feed(std::string_view bytes) {
  // What was handed out is dropped here, once per read, not once per frame.
  held_.erase(0, std::exchange(taken_, 0));
  held_.append(bytes);
}

Result<std::optional<Frame>> FrameParser::next() {
  const std::string_view rest = std::string_view(held_).substr(taken_);
  if (rest.size() < kFrameHeaderBytes) return std::nullopt;
  const std::size_t length = big_endian(rest);
  if (length > kMaxFrameBytes) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("a frame of {} bytes is past the limit of {}", length, kMaxFrameBytes));
  }
  Frame frame;
  frame.stream_id = big_endian(rest.substr(4));
  if (frame.stream_id % 2 == 0) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("a frame of stream {}: ids are odd", frame.stream_id));
  }
  const auto type = static_cast<unsigned char>(rest[8]);
  if (type != static_cast<unsigned char>(FrameType::request) &&
      type != static_cast<unsigned char>(FrameType::response)) {
    return fail(ErrorKind::invalid_argument, fmt::format("a frame of unknown type {}", type));
  }
  frame.type = static_cast<FrameType>(type);
  frame.flags = static_cast<std::uint8_t>(rest[9]);
  if (rest.size() < kFrameHeaderBytes + length) return std::nullopt;
  frame.data = rest.substr(kFrameHeaderBytes, length);
  taken_ += kFrameHeaderBytes + length;
  if (at_boundary() && held_.capacity() > 2 * std::size_t{65536}) {
    // A large message has passed: a connection at rest does not keep its room.
    held_ = std::string();
    taken_ = 0;
  }
  return frame;
}

}  // namespace agentvm::rpc
