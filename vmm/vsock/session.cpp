#include "vmm/vsock/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "oci/base/try.h"

namespace agentvm::vmm::vsock {

namespace {

constexpr std::uint64_t kFeatures =
    kFeatureVersion1 | kFeatureEventIndex | kFeatureProtocolFeatures;
constexpr std::uint64_t kProtocolFeatures =
    kProtocolMultiQueue | kProtocolReplyAck | kProtocolConfig;

std::unexpected<Error> refuse(std::string text) {
  return fail(ErrorKind::invalid_argument, std::move(text));
}

// The one file of a SET_VRING_… message. Its flags are shared with QEMU, which made it
// non-blocking already; we must never block on it.
Result<UniqueFd> take_file(Message& message, bool announced) {
  if (message.fds.size() != (announced ? 1U : 0U)) {
    return refuse(fmt::format("{} files", message.fds.size()));
  }
  if (!announced) return UniqueFd();
  UniqueFd fd = std::move(message.fds.front());
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
    return fail_errno(errno, "make an eventfd non-blocking");
  }
  return fd;
}

}  // namespace

Session::Session(std::uint64_t guest_cid, SessionObserver& observer)
    : guest_cid_(guest_cid), observer_(observer) {}

Result<Session::Answer> Session::handle(Message message) {
  const Payload payload = message.payload;
  switch (message.request) {
    case Request::get_features:
      return encode_u64(kFeatures);
    case Request::get_protocol_features:
      return encode_u64(kProtocolFeatures);
    case Request::get_queue_num:
      return encode_u64(kQueueCount);
    case Request::get_config: {
      const ConfigRange range = TRY(parse_config_range(payload), "GET_CONFIG");
      // struct virtio_vsock_config: the guest's CID and nothing else.
      return encode_config(range, std::as_bytes(std::span(&guest_cid_, 1)));
    }
    case Request::get_vring_base:
      return TRY(get_vring_base(payload), "GET_VRING_BASE");
    case Request::set_features:
    case Request::set_owner:
    case Request::reset_owner:
    case Request::set_mem_table:
    case Request::set_vring_num:
    case Request::set_vring_addr:
    case Request::set_vring_base:
    case Request::set_vring_kick:
    case Request::set_vring_call:
    case Request::set_vring_err:
    case Request::set_protocol_features:
    case Request::set_vring_enable:
      TRY(act(message), "{}", name_of(message.request));
      return Answer();
  }
  return refuse("an unknown request");
}

Result<void> Session::act(Message& message) {
  const Payload payload = message.payload;
  switch (message.request) {
    case Request::set_features:
      return set_features(payload);
    case Request::set_protocol_features:
      return set_protocol_features(payload);
    case Request::set_owner:
      return {};
    case Request::reset_owner:
      reset_owner();
      return {};
    case Request::set_mem_table:
      return set_mem_table(message);
    case Request::set_vring_num:
      return set_vring_num(payload);
    case Request::set_vring_addr:
      return set_vring_addr(payload);
    case Request::set_vring_base:
      return set_vring_base(payload);
    case Request::set_vring_kick:
      return set_vring_kick(message);
    case Request::set_vring_call:
      return set_vring_call(message);
    case Request::set_vring_err:
      return set_vring_err(message);
    case Request::set_vring_enable:
      return set_vring_enable(payload);
    case Request::get_features:
    case Request::get_protocol_features:
    case Request::get_queue_num:
    case Request::get_config:
    case Request::get_vring_base:
      break;
  }
  return refuse("this request has an answer");
}

Result<Session::Vring*> Session::vring(std::uint32_t index) {
  if (index >= vrings_.size()) return refuse(fmt::format("there is no ring {}", index));
  return &vrings_[index];
}

Result<Session::Vring*> Session::stopped_vring(std::uint32_t index) {
  Vring* const found = TRY(vring(index));
  if (found->ring) {
    return fail(ErrorKind::failed_precondition, fmt::format("ring {} is running", index));
  }
  return found;
}

Result<void> Session::set_features(Payload payload) {
  const std::uint64_t wanted = TRY(parse_u64(payload));
  if ((wanted & ~kFeatures) != 0) {
    return refuse(fmt::format("features {:#x} were not offered", wanted & ~kFeatures));
  }
  for (const Vring& one : vrings_) {
    if (one.ring && wanted != features_) {
      return fail(ErrorKind::failed_precondition, "the rings are running");
    }
  }
  features_ = wanted;
  // Without the feature there is no SET_VRING_ENABLE: rings are born enabled.
  if ((features_ & kFeatureProtocolFeatures) == 0) {
    for (Vring& one : vrings_) one.enabled = true;
  }
  return {};
}

Result<void> Session::set_protocol_features(Payload payload) {
  const std::uint64_t wanted = TRY(parse_u64(payload));
  if ((wanted & ~kProtocolFeatures) == 0) return {};
  return refuse(
      fmt::format("protocol features {:#x} were not offered", wanted & ~kProtocolFeatures));
}

Result<void> Session::set_mem_table(Message& message) {
  const auto regions = TRY(parse_memory_table(message.payload));
  // Memory may come while the rings run (hot-plug): the same rings, at their new place.
  rings_gone();
  std::array<std::optional<std::uint16_t>, kQueueCount> bases;
  for (std::uint32_t i = 0; i < kQueueCount; ++i) {
    if (!vrings_[i].ring) continue;
    vrings_[i].ring->publish();
    bases[i] = vrings_[i].base = vrings_[i].ring->queue.next_available();
    vrings_[i].ring.reset();
  }
  memory_ = {};
  auto mapped = GuestMemory::map(regions, message.fds);
  Result<void> outcome;
  if (mapped) {
    memory_ = *std::move(mapped);
  } else {
    outcome = std::unexpected(std::move(mapped).error());
  }
  for (std::uint32_t i = 0; i < kQueueCount; ++i) {
    if (!bases[i]) continue;
    if (outcome) outcome = build_ring(i, *bases[i]);
    // An interrupt may have been due when the ring moved: one too many does no harm.
    if (outcome) vrings_[i].ring->interrupt();
    if (!outcome) observer_.on_ring_stopped(i);
  }
  if (outcome) report_rings();
  return outcome;
}

Result<void> Session::set_vring_num(Payload payload) {
  const VringState state = TRY(parse_vring_state(payload));
  Vring* const one = TRY(stopped_vring(state.index));
  if (state.value > kMaxQueueSize || !std::has_single_bit(state.value)) {
    return refuse(
        fmt::format("a ring of {} (a power of two up to {})", state.value, kMaxQueueSize));
  }
  one->size = static_cast<std::uint16_t>(state.value);
  return {};
}

Result<void> Session::set_vring_addr(Payload payload) {
  const VringAddresses addresses = TRY(parse_vring_addresses(payload));
  Vring* const one = TRY(stopped_vring(addresses.index));
  one->addresses = addresses;
  return {};
}

Result<void> Session::set_vring_base(Payload payload) {
  const VringState state = TRY(parse_vring_state(payload));
  Vring* const one = TRY(stopped_vring(state.index));
  if (state.value > 0xffff) return refuse(fmt::format("a base of {}", state.value));
  one->base = static_cast<std::uint16_t>(state.value);
  return {};
}

Result<Session::Answer> Session::get_vring_base(Payload payload) {
  const VringState state = TRY(parse_vring_state(payload));
  Vring* const one = TRY(vring(state.index));
  stop_ring(state.index);
  return encode_vring_state({.index = state.index, .value = one->base});
}

Result<void> Session::set_vring_kick(Message& message) {
  const VringFile file = TRY(parse_vring_file(message.payload));
  UniqueFd kick = TRY(take_file(message, file.has_fd));
  if (!kick) return refuse("polled rings are not served");
  Vring* const one = TRY(stopped_vring(file.index));
  TRY(build_ring(file.index, one->base), "start ring {}", file.index);
  if (one->stopped_at && *one->stopped_at != one->base) observer_.on_driver_restarted();
  observer_.on_ring_started(file.index, std::move(kick));
  report_rings();
  return {};
}

Result<void> Session::set_vring_call(Message& message) {
  const VringFile file = TRY(parse_vring_file(message.payload));
  UniqueFd call = TRY(take_file(message, file.has_fd));
  Vring* const one = TRY(vring(file.index));
  one->call = std::move(call);
  if (one->ring) {
    one->ring->call = one->call.get();
    // What was signalled to the file before may have been lost with it.
    one->ring->interrupt();
  }
  return {};
}

Result<void> Session::set_vring_err(Message& message) {
  const VringFile file = TRY(parse_vring_file(message.payload));
  UniqueFd error = TRY(take_file(message, file.has_fd));
  Vring* const one = TRY(vring(file.index));
  one->error = std::move(error);
  return {};
}

Result<void> Session::set_vring_enable(Payload payload) {
  const VringState state = TRY(parse_vring_state(payload));
  Vring* const one = TRY(vring(state.index));
  if (state.value > 1) return refuse(fmt::format("enabled {}", state.value));
  one->enabled = state.value == 1;
  report_rings();
  return {};
}

void Session::reset_owner() {
  for (std::uint32_t i = 0; i < kQueueCount; ++i) stop_ring(i);
  vrings_ = {};
  observer_.on_driver_restarted();
}

Result<void> Session::build_ring(std::uint32_t index, std::uint16_t base) {
  Vring& one = vrings_[index];
  if (one.size == 0 || !one.addresses) {
    return fail(ErrorKind::failed_precondition, "the ring has no size or no addresses");
  }
  const RingParts parts{
      .descriptors = memory_.at_user_address(one.addresses->descriptors, descriptors_size(one.size),
                                             kDescriptorsAlignment),
      .available = memory_.at_user_address(one.addresses->available, available_size(one.size),
                                           kAvailableAlignment),
      .used = memory_.at_user_address(one.addresses->used, used_size(one.size), kUsedAlignment)};
  if (parts.descriptors == nullptr || parts.available == nullptr || parts.used == nullptr) {
    return refuse("a part of the ring is outside the memory or not aligned");
  }
  const auto direction = index == kTxQueue ? Direction::device_reads : Direction::device_writes;
  one.ring.emplace(
      Ring{Virtqueue(parts, one.size, base, (features_ & kFeatureEventIndex) != 0, direction),
           one.call.get()});
  return {};
}

void Session::stop_ring(std::uint32_t index) {
  Vring& one = vrings_[index];
  if (!one.ring) return;
  rings_gone();
  one.ring->publish();
  one.base = one.ring->queue.next_available();
  one.stopped_at = one.base;
  one.ring.reset();
  one.broken = false;
  observer_.on_ring_stopped(index);
}

void Session::condemn_rings() {
  rings_gone();
  constexpr std::uint64_t kOne = 1;
  for (Vring& one : vrings_) {
    one.broken = one.ring.has_value();
    if (one.error) (void)!::write(one.error.get(), &kOne, sizeof(kOne));
  }
}

void Session::report_rings() {
  Vring& rx = vrings_[kRxQueue];
  Vring& tx = vrings_[kTxQueue];
  const auto runs = [](const Vring& one) { return one.ring && one.enabled && !one.broken; };
  if (!runs(rx) || !runs(tx)) return rings_gone();
  if (std::exchange(rings_reported_, true)) return;
  observer_.on_rings_ready({.memory = &memory_, .rx = &*rx.ring, .tx = &*tx.ring});
}

void Session::rings_gone() {
  if (std::exchange(rings_reported_, false)) observer_.on_rings_gone();
}

}  // namespace agentvm::vmm::vsock
