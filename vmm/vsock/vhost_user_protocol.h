// The messages of vhost-user (QEMU, docs/interop/vhost-user): framing and payloads. QEMU is the
// front end, we are the back end. QEMU is not trusted either: a guest may have taken it over.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "vmm/vsock/guest_memory.h"

namespace agentvm::vmm::vsock {

// The requests this back end serves; what the features we offer allow a front end to send.
enum class Request : std::uint32_t {
  get_features = 1,
  set_features = 2,
  set_owner = 3,
  reset_owner = 4,
  set_mem_table = 5,
  set_vring_num = 8,
  set_vring_addr = 9,
  set_vring_base = 10,
  get_vring_base = 11,
  set_vring_kick = 12,
  set_vring_call = 13,
  set_vring_err = 14,
  get_protocol_features = 15,
  set_protocol_features = 16,
  get_queue_num = 17,
  set_vring_enable = 18,
  get_config = 24,
};
[[nodiscard]] std::optional<Request> request_of(std::uint32_t number);
[[nodiscard]] std::string_view name_of(Request request);

// Device features, bits of GET_FEATURES.
inline constexpr std::uint64_t kFeatureEventIndex = 1ULL << 29;
inline constexpr std::uint64_t kFeatureProtocolFeatures = 1ULL << 30;
inline constexpr std::uint64_t kFeatureVersion1 = 1ULL << 32;
// Bits of GET_PROTOCOL_FEATURES.
inline constexpr std::uint64_t kProtocolMultiQueue = 1ULL << 0;
inline constexpr std::uint64_t kProtocolReplyAck = 1ULL << 3;
inline constexpr std::uint64_t kProtocolConfig = 1ULL << 9;

inline constexpr std::size_t kMessageHeaderSize = 12;
inline constexpr std::size_t kMaxConfig = 256;
inline constexpr std::size_t kMaxPayload = 12 + kMaxConfig;
inline constexpr std::size_t kMaxMessageFds = kMaxRegions;

struct MessageHeader {
  std::uint32_t request = 0;
  std::uint32_t size = 0;  // of the payload; at most kMaxPayload
  bool need_reply = false;
};
// invalid_argument for another version, a reply, or a size past kMaxPayload.
[[nodiscard]] Result<MessageHeader> parse_message_header(
    std::span<const std::byte, kMessageHeaderSize> bytes);

struct Message {
  Request request = Request::get_features;
  bool need_reply = false;
  std::vector<std::byte> payload;
  std::vector<UniqueFd> fds;
};
// Header and payload of a reply.
[[nodiscard]] std::vector<std::byte> encode_reply(Request request,
                                                  std::span<const std::byte> payload);

struct VringState {
  std::uint32_t index = 0;
  std::uint32_t value = 0;

  friend bool operator==(const VringState&, const VringState&) = default;
};
struct VringAddresses {
  std::uint32_t index = 0;
  std::uint64_t descriptors = 0;
  std::uint64_t used = 0;
  std::uint64_t available = 0;
};
struct VringFile {
  std::uint32_t index = 0;
  bool has_fd = false;
};
struct ConfigRange {
  std::uint32_t offset = 0;
  std::uint32_t size = 0;  // offset + size is at most kMaxConfig
};

// Payloads: exactly as long as they have to be, or invalid_argument.
using Payload = std::span<const std::byte>;
[[nodiscard]] Result<std::uint64_t> parse_u64(Payload payload);
[[nodiscard]] Result<VringState> parse_vring_state(Payload payload);
[[nodiscard]] Result<VringAddresses> parse_vring_addresses(Payload payload);
[[nodiscard]] Result<VringFile> parse_vring_file(Payload payload);
[[nodiscard]] Result<std::vector<MemoryRegion>> parse_memory_table(Payload payload);
[[nodiscard]] Result<ConfigRange> parse_config_range(Payload payload);

[[nodiscard]] std::vector<std::byte> encode_u64(std::uint64_t value);
[[nodiscard]] std::vector<std::byte> encode_vring_state(const VringState& state);
// `config` is the device's whole configuration space; past its end there are zeros.
[[nodiscard]] std::vector<std::byte> encode_config(const ConfigRange& range,
                                                   std::span<const std::byte> config);

}  // namespace agentvm::vmm::vsock
