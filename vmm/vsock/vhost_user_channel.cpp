#include "vmm/vsock/vhost_user_channel.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "oci/base/try.h"

namespace agentvm::vmm::vsock {

namespace {

void take_fds(const cmsghdr& control, std::vector<UniqueFd>& out) {
  if (control.cmsg_level != SOL_SOCKET || control.cmsg_type != SCM_RIGHTS) return;
  const std::size_t count = (control.cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (std::size_t i = 0; i < count; ++i) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(&control) + i * sizeof(int), sizeof(int));
    out.emplace_back(fd);
  }
}

}  // namespace

Result<std::size_t> VhostUserChannel::receive_bytes(std::span<std::byte> into) {
  iovec piece{into.data(), into.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kMaxMessageFds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno == EAGAIN) return std::size_t{0};
    // QEMU was killed with a message of ours unread.
    if (errno != ECONNRESET) return fail_errno(errno, "receive from the vhost-user socket");
    got = 0;
  }
  for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
    take_fds(*one, fds_);
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0 || fds_.size() > kMaxMessageFds) {
    return fail(ErrorKind::invalid_argument, "a vhost-user message with too many files");
  }
  is_closed_ = got == 0;
  return static_cast<std::size_t>(got);
}

Result<VhostUserChannel::Received> VhostUserChannel::receive() {
  std::size_t wanted = kMessageHeaderSize;
  MessageHeader header;
  for (;;) {
    if (filled_ >= kMessageHeaderSize) {
      header = TRY(parse_message_header(std::span(buffer_).first<kMessageHeaderSize>()));
      wanted = kMessageHeaderSize + header.size;
    }
    if (filled_ == wanted) break;
    // Never past this message: the next one's files would be taken for this one's.
    const std::size_t got =
        TRY(receive_bytes(std::span(buffer_).subspan(filled_, wanted - filled_)));
    if (is_closed_) return Closed{};
    if (got == 0) return NothingYet{};
    filled_ += got;
  }
  const auto request = request_of(header.request);
  if (!request) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("vhost-user message {} is unknown or was not offered", header.request));
  }
  const auto payload = std::span(buffer_).subspan(kMessageHeaderSize, header.size);
  filled_ = 0;
  return Message{.request = *request,
                 .need_reply = header.need_reply,
                 .payload = {payload.begin(), payload.end()},
                 .fds = std::exchange(fds_, {})};
}

Result<void> VhostUserChannel::reply(Request request, std::span<const std::byte> payload) {
  const std::vector<std::byte> bytes = encode_reply(request, payload);
  const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  // A front end asks and waits; one that lets answers pile up until the socket is full is broken.
  if (sent == static_cast<ssize_t>(bytes.size())) return {};
  return fail_errno(sent < 0 ? errno : EAGAIN, fmt::format("answer {}", name_of(request)));
}

}  // namespace agentvm::vmm::vsock
