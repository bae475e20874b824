// The event loop of every process, host and guest: Boost.Asio with coroutines, one thread.
// Task<T> is a coroutine that ends in a Result; errors are values here too, never exceptions:
// await Asio operations with `use_result` (asio::as_tuple on awaitable) and test the error_code.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "oci/base/error.h"

namespace agentvm {

namespace asio = boost::asio;

template <class T>
using Task = asio::awaitable<Result<T>>;

// co_await op(..., use_result) yields a tuple that starts with the error_code; nothing is thrown.
inline constexpr auto use_result = asio::as_tuple(asio::use_awaitable);

// An error_code of Asio as an Error: "<doing>: <text>", errno kept where it is one.
[[nodiscard]] std::unexpected<Error> fail_asio(const boost::system::error_code& code,
                                               std::string doing);

// Ends when the borrowed `fd` is readable (or at its end). Works on a duplicate, so cancelling is
// safe; not for hot paths.
[[nodiscard]] Task<void> wait_readable(int fd);

// Runs a Task on a fresh io_context until it ends: for commands that do one thing and leave.
template <class T>
Result<T> run_to_end(asio::io_context& io, Task<T> task) {
  Result<T> outcome = fail(ErrorKind::internal, "the event loop ended before its task");
  asio::co_spawn(
      io,
      [](Task<T> inner, Result<T>& out) -> asio::awaitable<void> {
        out = co_await std::move(inner);
      }(std::move(task), outcome),
      [&io](const std::exception_ptr&) { io.stop(); });
  io.run();
  return outcome;
}

}  // namespace agentvm
