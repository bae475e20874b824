#include "rpc/relay_waiter.h"

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <tuple>
#include <utility>

#include "oci/base/try.h"
#include "oci/base/unique_fd.h"

namespace agentvm::rpc {

RelayWaiter::RelayWaiter(asio::posix::stream_descriptor epoll, int source, int sink)
    : epoll_(std::move(epoll)) {
  source_.fd = source;
  sink_.fd = sink;
}

Result<RelayWaiter> RelayWaiter::create(const asio::any_io_executor& executor, int source,
                                        int sink) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno(errno, "make an epoll instance");
  asio::posix::stream_descriptor descriptor(executor);
  boost::system::error_code code;
  descriptor.assign(epoll.get(), code);
  if (code) return fail_asio(code, "watch an epoll instance");
  std::ignore = epoll.release();
  RelayWaiter waiter(std::move(descriptor), source, sink);
  TRY(waiter.watch(waiter.source_, EPOLLIN));
  TRY(waiter.watch(waiter.sink_, 0));
  return waiter;
}

Result<void> RelayWaiter::watch(Watched& which, std::uint32_t events) {
  if (!which.pollable || (which.added && which.events == events)) return {};
  epoll_event event{};
  event.events = events;
  event.data.fd = which.fd;
  const int operation = which.added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (::epoll_ctl(epoll_.native_handle(), operation, which.fd, &event) != 0) {
    if (errno != EPERM) return fail_errno(errno, "watch a stream");
    which.pollable = false;
    return {};
  }
  which.added = true;
  which.events = events;
  return {};
}

// Takes it out altogether: with no events at all, epoll would go on telling EPOLLHUP.
void RelayWaiter::ignore(Watched& which) {
  if (!which.added) return;
  ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, which.fd, nullptr);
  which.added = false;
}

Task<RelayWaiter::Found> RelayWaiter::wait() {
  for (;;) {
    std::array<epoll_event, 2> events;
    const int n = ::epoll_wait(epoll_.native_handle(), events.data(), 2, 0);
    if (n < 0 && errno != EINTR) co_return fail_errno(errno, "epoll_wait");
    Found found;
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      (fd == source_.fd ? found.source : found.sink) = true;
    }
    if (found.source || found.sink) co_return found;
    const auto [code] =
        co_await epoll_.async_wait(asio::posix::descriptor_base::wait_read, use_result);
    if (code) co_return fail_asio(code, "wait for a stream");
  }
}

Task<bool> RelayWaiter::wait_source(bool watch_sink) {
  if (!source_.pollable) co_return false;
  CO_TRY(watch(source_, EPOLLIN));
  if (watch_sink) {
    CO_TRY(watch(sink_, 0));
  } else {
    ignore(sink_);
  }
  auto waited = co_await wait();
  const Found found = CO_TRY(std::move(waited));
  co_return found.sink && !found.source;
}

Task<void> RelayWaiter::wait_sink() {
  if (!sink_.pollable) co_return Result<void>{};
  ignore(source_);
  CO_TRY(watch(sink_, EPOLLOUT));
  auto waited = co_await wait();
  CO_TRY(std::move(waited));
  co_return Result<void>{};
}

}  // namespace agentvm::rpc
