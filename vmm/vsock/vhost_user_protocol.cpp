#include "vmm/vsock/vhost_user_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "oci/base/try.h"

namespace agentvm::vmm::vsock {

namespace {

constexpr std::uint32_t kVersionMask = 3;
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kReply = 1U << 2;
constexpr std::uint32_t kNeedReply = 1U << 3;

constexpr std::uint64_t kRingIndexMask = 0xff;
constexpr std::uint64_t kNoFd = 1ULL << 8;

constexpr std::size_t kRegionSize = 32;

template <class T>
T field(Payload payload, std::size_t offset) {
  T value{};
  std::memcpy(&value, payload.data() + offset, sizeof(value));
  return value;
}

template <class T>
void put(std::vector<std::byte>& out, T value) {
  const auto* const bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(value));
}

Result<void> expect_size(Payload payload, std::size_t size) {
  if (payload.size() == size) return {};
  return fail(ErrorKind::invalid_argument,
              fmt::format("the payload has {} bytes and not {}", payload.size(), size));
}

}  // namespace

std::optional<Request> request_of(std::uint32_t number) {
  const auto request = static_cast<Request>(number);
  if (name_of(request).empty()) return std::nullopt;
  return request;
}

std::string_view name_of(Request request) {
  switch (request) {
    case Request::get_features:
      return "GET_FEATURES";
    case Request::set_features:
      return "SET_FEATURES";
    case Request::set_owner:
      return "SET_OWNER";
    case Request::reset_owner:
      return "RESET_OWNER";
    case Request::set_mem_table:
      return "SET_MEM_TABLE";
    case Request::set_vring_num:
      return "SET_VRING_NUM";
    case Request::set_vring_addr:
      return "SET_VRING_ADDR";
    case Request::set_vring_base:
      return "SET_VRING_BASE";
    case Request::get_vring_base:
      return "GET_VRING_BASE";
    case Request::set_vring_kick:
      return "SET_VRING_KICK";
    case Request::set_vring_call:
      return "SET_VRING_CALL";
    case Request::set_vring_err:
      return "SET_VRING_ERR";
    case Request::get_protocol_features:
      return "GET_PROTOCOL_FEATURES";
    case Request::set_protocol_features:
      return "SET_PROTOCOL_FEATURES";
    case Request::get_queue_num:
      return "GET_QUEUE_NUM";
    case Request::set_vring_enable:
      return "SET_VRING_ENABLE";
    case Request::get_config:
      return "GET_CONFIG";
  }
  return {};
}

Result<MessageHeader> parse_message_header(std::span<const std::byte, kMessageHeaderSize> bytes) {
  const auto request = field<std::uint32_t>(bytes, 0);
  const auto flags = field<std::uint32_t>(bytes, 4);
  const auto size = field<std::uint32_t>(bytes, 8);
  const auto refuse = [request](std::string text) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("vhost-user message {}: {}", request, std::move(text)));
  };
  if ((flags & kVersionMask) != kVersion) return refuse("not version 1");
  if ((flags & kReply) != 0) return refuse("a reply, and nothing was asked");
  if (size > kMaxPayload) return refuse(fmt::format("{} bytes of payload", size));
  return MessageHeader{.request = request, .size = size, .need_reply = (flags & kNeedReply) != 0};
}

std::vector<std::byte> encode_reply(Request request, std::span<const std::byte> payload) {
  std::vector<std::byte> out;
  out.reserve(kMessageHeaderSize + payload.size());
  put(out, static_cast<std::uint32_t>(request));
  put(out, kVersion | kReply);
  put(out, static_cast<std::uint32_t>(payload.size()));
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

Result<std::uint64_t> parse_u64(Payload payload) {
  TRY(expect_size(payload, 8));
  return field<std::uint64_t>(payload, 0);
}

Result<VringState> parse_vring_state(Payload payload) {
  TRY(expect_size(payload, 8));
  return VringState{.index = field<std::uint32_t>(payload, 0),
                    .value = field<std::uint32_t>(payload, 4)};
}

// index, flags (logging, which is not offered), then descriptors, used, available, log.
Result<VringAddresses> parse_vring_addresses(Payload payload) {
  TRY(expect_size(payload, 40));
  return VringAddresses{.index = field<std::uint32_t>(payload, 0),
                        .descriptors = field<std::uint64_t>(payload, 8),
                        .used = field<std::uint64_t>(payload, 16),
                        .available = field<std::uint64_t>(payload, 24)};
}

Result<VringFile> parse_vring_file(Payload payload) {
  const std::uint64_t value = TRY(parse_u64(payload));
  return VringFile{.index = static_cast<std::uint32_t>(value & kRingIndexMask),
                   .has_fd = (value & kNoFd) == 0};
}

Result<std::vector<MemoryRegion>> parse_memory_table(Payload payload) {
  if (payload.size() < 8) TRY(expect_size(payload, 8));
  const auto count = field<std::uint32_t>(payload, 0);
  if (count > kMaxRegions) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{} memory regions (at most {})", count, kMaxRegions));
  }
  // Some front ends send the whole array whatever the count.
  if (payload.size() < 8 + count * kRegionSize) {
    TRY(expect_size(payload, 8 + count * kRegionSize));
  }
  std::vector<MemoryRegion> regions;
  for (std::size_t i = 0; i < count; ++i) {
    const Payload one = payload.subspan(8 + i * kRegionSize, kRegionSize);
    regions.push_back({.guest_address = field<std::uint64_t>(one, 0),
                       .size = field<std::uint64_t>(one, 8),
                       .user_address = field<std::uint64_t>(one, 16),
                       .file_offset = field<std::uint64_t>(one, 24)});
  }
  return regions;
}

Result<ConfigRange> parse_config_range(Payload payload) {
  if (payload.size() < 12) TRY(expect_size(payload, 12));
  const ConfigRange range{.offset = field<std::uint32_t>(payload, 0),
                          .size = field<std::uint32_t>(payload, 4)};
  if (range.offset > kMaxConfig || range.size > kMaxConfig - range.offset) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("configuration bytes {} to {}+{} (there are {})", range.offset,
                            range.offset, range.size, kMaxConfig));
  }
  return range;
}

std::vector<std::byte> encode_u64(std::uint64_t value) {
  std::vector<std::byte> out;
  put(out, value);
  return out;
}

std::vector<std::byte> encode_vring_state(const VringState& state) {
  std::vector<std::byte> out;
  put(out, state.index);
  put(out, state.value);
  return out;
}

std::vector<std::byte> encode_config(const ConfigRange& range, std::span<const std::byte> config) {
  std::vector<std::byte> out;
  put(out, range.offset);
  put(out, range.size);
  put(out, std::uint32_t{0});  // flags
  out.resize(out.size() + range.size);
  if (range.offset < config.size()) {
    const std::size_t count = std::min<std::size_t>(range.size, config.size() - range.offset);
    std::memcpy(out.data() + 12, config.data() + range.offset, count);
  }
  return out;
}

}  // namespace agentvm::vmm::vsock
