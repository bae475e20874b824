#include "tests/vmm/vsock/front_end.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

namespace agentvm::vmm::vsock::testing {

namespace {

constexpr int kPatienceMs = 10000;

template <class T>
void put(std::vector<std::byte>& out, T value) {
  const auto* const bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(value));
}

std::vector<std::byte> state(std::uint32_t index, std::uint32_t value) {
  return encode_vring_state({.index = index, .value = value});
}

bool readable(int fd, int timeout_ms) {
  pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, timeout_ms) == 1;
}

}  // namespace

FrontEnd::FrontEnd(UniqueFd socket) : socket_(std::move(socket)) {
  memory_fd_.reset(::memfd_create("guest", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(memory_fd_.get(), static_cast<off_t>(kMemorySize)), 0);
  memory_ = static_cast<std::byte*>(
      ::mmap(nullptr, kMemorySize, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd_.get(), 0));
  for (Files& one : files_) {
    one.kick.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    one.call.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    one.error.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
}

FrontEnd::~FrontEnd() {
  ::munmap(memory_, kMemorySize);
}

void FrontEnd::send(Request request, std::span<const std::byte> payload, std::span<const int> fds,
                    bool need_reply) {
  std::vector<std::byte> bytes;
  put(bytes, static_cast<std::uint32_t>(request));
  put(bytes, std::uint32_t{1} | (need_reply ? 8U : 0U));
  put(bytes, static_cast<std::uint32_t>(payload.size()));
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  send_raw(bytes, fds);
}

void FrontEnd::send_raw(std::span<const std::byte> bytes, std::span<const int> fds) {
  iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  (void)::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
}

std::optional<std::vector<std::byte>> FrontEnd::receive_reply(Request expected) {
  const auto exactly = [this](std::byte* into, std::size_t count) {
    while (count > 0) {
      if (!readable(socket_.get(), kPatienceMs)) return false;
      const ssize_t got = ::read(socket_.get(), into, count);
      if (got <= 0) return false;
      into += got;
      count -= static_cast<std::size_t>(got);
    }
    return true;
  };
  std::array<std::uint32_t, 3> header{};
  if (!exactly(reinterpret_cast<std::byte*>(header.data()), sizeof(header))) return std::nullopt;
  EXPECT_EQ(header[0], static_cast<std::uint32_t>(expected));
  EXPECT_EQ(header[1], 1U | 4U);
  std::vector<std::byte> payload(header[2]);
  if (!exactly(payload.data(), payload.size())) return std::nullopt;
  return payload;
}

std::uint64_t FrontEnd::ask_u64(Request request) {
  send(request, {});
  const auto reply = receive_reply(request);
  if (!reply) return ~0ULL;
  return parse_u64(*reply).value_or(~0ULL);
}

std::uint64_t FrontEnd::acknowledged(Request request, std::span<const std::byte> payload,
                                     std::span<const int> fds) {
  send(request, payload, fds, true);
  const auto reply = receive_reply(request);
  if (!reply) return ~0ULL;
  return parse_u64(*reply).value_or(~0ULL);
}

void FrontEnd::negotiate(bool event_index) {
  send(Request::set_owner, {});
  const std::uint64_t offered = ask_u64(Request::get_features);
  EXPECT_NE(offered & kFeatureVersion1, 0U);
  EXPECT_NE(ask_u64(Request::get_protocol_features) & kProtocolConfig, 0U);
  EXPECT_EQ(
      acknowledged(Request::set_protocol_features, encode_u64(kProtocolConfig | kProtocolReplyAck)),
      0U);
  const std::uint64_t features =
      kFeatureVersion1 | kFeatureProtocolFeatures | (event_index ? kFeatureEventIndex : 0);
  EXPECT_EQ(acknowledged(Request::set_features, encode_u64(features)), 0U);
}

void FrontEnd::share_memory() {
  EXPECT_EQ(set_memory({{.guest_address = kGuestBase,
                         .size = kRegionSize,
                         .user_address = kUserBase,
                         .file_offset = 0},
                        {.guest_address = kGuestBase + kRegionSize,
                         .size = kRegionSize,
                         .user_address = kUserBase + kRegionSize,
                         .file_offset = kRegionSize}}),
            0U);
}

std::uint64_t FrontEnd::set_memory(const std::vector<MemoryRegion>& regions) {
  std::vector<std::byte> payload;
  put(payload, static_cast<std::uint32_t>(regions.size()));
  put(payload, std::uint32_t{0});
  for (const MemoryRegion& one : regions) {
    put(payload, one.guest_address);
    put(payload, one.size);
    put(payload, one.user_address);
    put(payload, one.file_offset);
  }
  const std::vector<int> fds(regions.size(), memory_fd_.get());
  return acknowledged(Request::set_mem_table, payload, fds);
}

void FrontEnd::start_ring(std::uint32_t index, std::uint16_t size, std::uint64_t guest_address,
                          std::uint16_t base) {
  const std::uint64_t at = guest_address - kGuestBase + kUserBase;
  EXPECT_EQ(acknowledged(Request::set_vring_num, state(index, size)), 0U);
  EXPECT_EQ(acknowledged(Request::set_vring_base, state(index, base)), 0U);
  std::vector<std::byte> addresses;
  put(addresses, index);
  put(addresses, std::uint32_t{0});
  put(addresses, at);
  put(addresses, at + used_offset(size));
  put(addresses, at + available_offset(size));
  put(addresses, std::uint64_t{0});
  EXPECT_EQ(acknowledged(Request::set_vring_addr, addresses), 0U);
  const Files& files = files_[index];
  const auto number = encode_u64(index);
  EXPECT_EQ(acknowledged(Request::set_vring_call, number, std::array{files.call.get()}), 0U);
  EXPECT_EQ(acknowledged(Request::set_vring_err, number, std::array{files.error.get()}), 0U);
  EXPECT_EQ(acknowledged(Request::set_vring_kick, number, std::array{files.kick.get()}), 0U);
}

void FrontEnd::enable_ring(std::uint32_t index, bool enabled) {
  EXPECT_EQ(acknowledged(Request::set_vring_enable, state(index, enabled ? 1 : 0)), 0U);
}

std::uint16_t FrontEnd::stop_ring(std::uint32_t index) {
  send(Request::get_vring_base, state(index, 0));
  const auto reply = receive_reply(Request::get_vring_base);
  if (!reply) return 0xffff;
  const auto parsed = parse_vring_state(*reply);
  EXPECT_TRUE(parsed && parsed->index == index);
  return parsed ? static_cast<std::uint16_t>(parsed->value) : 0xffff;
}

void FrontEnd::kick(std::uint32_t index) const {
  EXPECT_EQ(::eventfd_write(files_[index].kick.get(), 1), 0);
}

bool FrontEnd::await_interrupt(std::uint32_t index) const {
  if (!readable(files_[index].call.get(), kPatienceMs)) return false;
  return take_interrupt(index);
}

bool FrontEnd::take_interrupt(std::uint32_t index) const {
  eventfd_t count = 0;
  return ::eventfd_read(files_[index].call.get(), &count) == 0;
}

bool FrontEnd::take_error(std::uint32_t index) const {
  eventfd_t count = 0;
  return readable(files_[index].error.get(), kPatienceMs) &&
         ::eventfd_read(files_[index].error.get(), &count) == 0;
}

}  // namespace agentvm::vmm::vsock::testing
