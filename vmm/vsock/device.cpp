#include "vmm/vsock/device.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <variant>

#include "oci/base/log.h"
#include "oci/base/try.h"

namespace agentvm::vmm::vsock {

namespace {

// Messages of QEMU before the event loop looks around.
constexpr int kMessagesPerTurn = 32;

// A guest may break its rings, reset the device and break them again: it does not get to fill the
// log with that.
constexpr std::uint32_t kMaxFaultLines = 8;

}  // namespace

Device::Device(boost::asio::io_context& io, UniqueFd vhost_user, UniqueFd listener,
               std::uint64_t guest_cid)
    : io_(io),
      vhost_user_(io.get_executor(), vhost_user.release()),
      channel_(vhost_user_.native_handle()),
      muxer_(io, guest_cid, *this),
      door_(io, std::move(listener), muxer_),
      session_(guest_cid, *this) {
  await_messages();
}

Result<void> Device::run() {
  io_.run();
  return std::move(outcome_);
}

void Device::end(Result<void> outcome) {
  outcome_ = std::move(outcome);
  io_.stop();
}

void Device::await_messages() {
  vhost_user_.async_wait(Descriptor::wait_read, [this](const boost::system::error_code& code) {
    if (!code && take_messages()) await_messages();
  });
}

bool Device::take_messages() {
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    auto received = channel_.receive();
    if (!received) {
      end(std::unexpected(std::move(received).error()));
      return false;
    }
    if (std::holds_alternative<VhostUserChannel::NothingYet>(*received)) return true;
    if (std::holds_alternative<VhostUserChannel::Closed>(*received)) {
      end({});
      return false;
    }
    auto done = answer(std::get<Message>(*std::move(received)));
    if (!done) {
      end(std::move(done));
      return false;
    }
  }
  return true;
}

Result<void> Device::answer(Message message) {
  const Request request = message.request;
  const bool need_reply = message.need_reply;
  auto handled = session_.handle(std::move(message));
  if (handled && handled->has_value()) return channel_.reply(request, **handled);
  if (!need_reply) {
    if (!handled) return std::unexpected(std::move(handled).error());
    return {};
  }
  // REPLY_ACK: QEMU hears of the failure and decides.
  if (!handled) log::error("vhost-user: {}", handled.error().text());
  return channel_.reply(request, encode_u64(handled ? 0 : 1));
}

void Device::await_kick(std::uint32_t index) {
  const std::uint64_t generation = kicks_[index].generation;
  kicks_[index].file->async_wait(Descriptor::wait_read,
                                 [this, index, generation](const boost::system::error_code& code) {
                                   // Another generation: the ring was stopped, and this cancelled.
                                   if (kicks_[index].generation == generation) on_kick(index, code);
                                 });
}

void Device::on_kick(std::uint32_t index, const boost::system::error_code& code) {
  std::uint64_t count = 0;
  // epoll(7) takes no regular file: the error comes here.
  const ssize_t got =
      code ? 0 : ::read(kicks_[index].file->native_handle(), &count, sizeof(count));
  if (got != sizeof(count) && !(got < 0 && (errno == EAGAIN || errno == EINTR))) {
    return end(fail(ErrorKind::invalid_argument,
                    fmt::format("the kick file of ring {} is no eventfd", index)));
  }
  if (index != kEventQueue) muxer_.schedule();
  await_kick(index);
}

void Device::on_ring_started(std::uint32_t index, UniqueFd kick) {
  Kick& one = kicks_[index];
  ++one.generation;
  one.file.emplace(io_.get_executor());
  boost::system::error_code code;
  one.file->assign(kick.get(), code);
  if (code)
    return end(fail_errno(code.value(), fmt::format("watch the kick file of ring {}", index)));
  (void)kick.release();
  await_kick(index);
}

void Device::on_ring_stopped(std::uint32_t index) {
  ++kicks_[index].generation;
  kicks_[index].file.reset();
}

void Device::on_rings_ready(const Rings& rings) {
  muxer_.start(rings);
}

void Device::on_rings_gone() {
  muxer_.stop();
}

void Device::on_driver_restarted() {
  muxer_.forget_guest();
}

void Device::on_broken_ring(std::string_view ring, std::string_view fault) {
  if (++faults_ <= kMaxFaultLines) {
    log::error("the guest broke the {} ring: {}; the device is stopped", ring, fault);
  }
  session_.condemn_rings();
}

void Device::on_fewer_waiting() {
  door_.resume();
}

}  // namespace agentvm::vmm::vsock
