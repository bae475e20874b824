#include "guest-agent/socket_wait.h"

#include <fcntl.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>

#include "guest-agent/deadline.h"

namespace agentvm::guest {

Task<void> wait_socket(int fd, SocketSide side, std::chrono::steady_clock::time_point limit) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) co_return fail_errno(errno, "duplicate a file descriptor");
  const auto executor = co_await asio::this_coro::executor;
  asio::posix::stream_descriptor descriptor(executor, copy);
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(limit - std::chrono::steady_clock::now());
  const Deadline deadline(executor, left, [&descriptor] { descriptor.cancel(); });
  const auto what = side == SocketSide::readable ? asio::posix::descriptor_base::wait_read
                                                 : asio::posix::descriptor_base::wait_write;
  const auto [code] = co_await descriptor.async_wait(what, use_result);
  if (deadline.expired()) co_return fail(ErrorKind::unavailable, "timed out");
  if (code) co_return fail_asio(code, "wait");
  co_return Result<void>();
}

}  // namespace agentvm::guest
