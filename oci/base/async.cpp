#include "oci/base/async.h"

#include <fcntl.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <utility>

namespace agentvm {

std::unexpected<Error> fail_asio(const boost::system::error_code& code, std::string doing) {
  if (code.category() == boost::system::system_category()) {
    return fail_errno(code.value(), std::move(doing));
  }
  return fail(ErrorKind::unavailable, std::move(doing) + ": " + code.message());
}

asio::awaitable<bool> Event::wait_for(std::chrono::milliseconds timeout) {
  // The shared timer must not get a deadline of one waiter: each has a timer of its own that sets
  // nothing and only wakes it.
  auto executor = co_await asio::this_coro::executor;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!set_ && std::chrono::steady_clock::now() < deadline) {
    asio::steady_timer limit(executor, deadline);
    limit.async_wait([timer = timer_](const boost::system::error_code& code) {
      if (!code) timer->cancel();
    });
    (void)co_await timer_->async_wait(use_result);
    limit.cancel();
  }
  co_return set_;
}

namespace {

Task<void> wait_for(int fd, asio::posix::stream_descriptor::wait_type what) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) co_return fail_errno(errno, "duplicate a file descriptor");
  asio::posix::stream_descriptor readiness(co_await asio::this_coro::executor, copy);
  auto [code] = co_await readiness.async_wait(what, use_result);
  if (code) co_return fail_asio(code, "wait for a file descriptor");
  co_return Result<void>{};
}

}  // namespace

Task<void> wait_readable(int fd) {
  return wait_for(fd, asio::posix::stream_descriptor::wait_read);
}

Task<void> wait_hangup(int fd) {
  return wait_for(fd, asio::posix::stream_descriptor::wait_error);
}

}  // namespace agentvm
