// vhost-user messages, as a QEMU that a guest has taken over might send them: through a real socket
// with real files into the session.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <variant>
#include <vector>

#include "vmm/vsock/session.h"
#include "vmm/vsock/vhost_user_channel.h"

using namespace agentvm;              // NOLINT(google-build-using-namespace)
using namespace agentvm::vmm::vsock;  // NOLINT(google-build-using-namespace)

namespace {

class Observer final : public SessionObserver {
 public:
  void on_ring_started(std::uint32_t /*index*/, UniqueFd /*kick*/) override {}
  void on_ring_stopped(std::uint32_t /*index*/) override {}
  void on_rings_ready(const Rings& rings) override {
    // Every byte of what is called a ring must be there.
    Chain chain;
    for (Ring* const ring : {rings.rx, rings.tx}) {
      if (ring->queue.take(*rings.memory, chain) == Virtqueue::Take::chain) {
        ring->queue.push_used(chain.head, 0);
      }
      ring->publish();
      (void)ring->queue.expect_kick();
    }
  }
  void on_rings_gone() override {}
  void on_driver_restarted() override {}
};

int memory_file() {
  static const int fd = [] {
    const int made = ::memfd_create("guest", MFD_CLOEXEC);
    if (::ftruncate(made, 1 << 20) != 0) __builtin_trap();
    return made;
  }();
  return fd;
}

int event_file() {
  static const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd;
}

void send_with_files(int socket, std::span<const std::uint8_t> bytes, std::size_t files,
                     bool events) {
  std::vector<int> fds(files, events ? event_file() : memory_file());
  std::vector<char> control(CMSG_SPACE(files * sizeof(int)));
  iovec piece{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (files > 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(files * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), files * sizeof(int));
  }
  (void)::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

// Input: pieces of {files and their kind, length, bytes}.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span<const std::uint8_t> input(data, size);
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0) {
    return 0;
  }
  UniqueFd theirs(pair[0]);
  const UniqueFd ours(pair[1]);
  Observer observer;
  Session session(3, observer);
  VhostUserChannel channel(ours.get());
  while (input.size() >= 2) {
    const std::size_t files = input[0] % 12;
    const bool events = (input[0] & 0x80) != 0;
    const std::size_t length = std::min<std::size_t>(input[1], input.size() - 2);
    if (length > 0) send_with_files(theirs.get(), input.subspan(2, length), files, events);
    input = input.subspan(2 + length);
    for (;;) {
      auto received = channel.receive();
      if (!received) return 0;
      if (!std::holds_alternative<Message>(*received)) break;
      const Request request = std::get<Message>(*received).request;
      const auto answer = session.handle(std::get<Message>(*std::move(received)));
      if (answer && *answer) (void)channel.reply(request, **answer);
    }
    std::array<char, 4096> drain{};
    while (::read(theirs.get(), drain.data(), drain.size()) > 0) {
    }
  }
  return 0;
}
