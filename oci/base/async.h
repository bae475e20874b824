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
#include <chrono>
#include <functional>
#include <memory>
#include <utility>

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
// The same until the peer of the unix socket `fd` has closed it, whatever it sent before.
[[nodiscard]] Task<void> wait_hangup(int fd);

// Something that happens once. Any number of coroutines wait for it; those that come late go on at
// once. Must outlive its waiters.
class Event {
 public:
  explicit Event(const asio::any_io_executor& executor)
      : timer_(std::make_shared<asio::steady_timer>(executor,
                                                    asio::steady_timer::time_point::max())) {}
  void set() {
    set_ = true;
    timer_->cancel();
  }
  [[nodiscard]] bool is_set() const { return set_; }
  asio::awaitable<void> wait() {
    while (!set_) (void)co_await timer_->async_wait(use_result);  // time-outs wake everybody
  }
  // False when `timeout` passed first.
  asio::awaitable<bool> wait_for(std::chrono::milliseconds timeout);

 private:
  std::shared_ptr<asio::steady_timer> timer_;  // shared with time-outs still in the queue
  bool set_ = false;
};

// Runs `task` beside the caller; its outcome goes to `done`, which may be empty.
template <class T>
void spawn(const asio::any_io_executor& executor, Task<T> task,
           std::function<void(Result<T>)> done = {}) {
  asio::co_spawn(executor, std::move(task),
                 [done = std::move(done)](const std::exception_ptr& thrown, Result<T> outcome) {
                   if (thrown) outcome = fail(ErrorKind::internal, "a task ended by an exception");
                   if (done) done(std::move(outcome));
                 });
}

// Runs two tasks at the same time; ends when both have, with the first one's error if both failed.
template <class A, class B>
Task<std::pair<A, B>> both(Task<A> first, Task<B> second) {
  const auto executor = co_await asio::this_coro::executor;
  struct Meeting {
    explicit Meeting(const asio::any_io_executor& on) : done(on) {}
    Result<B> outcome = fail(ErrorKind::internal, "a task ended without an outcome");
    Event done;
  };
  auto meeting = std::make_shared<Meeting>(executor);
  spawn<B>(executor, std::move(second), [meeting](Result<B> outcome) {
    meeting->outcome = std::move(outcome);
    meeting->done.set();
  });
  auto one = co_await std::move(first);
  co_await meeting->done.wait();
  if (!one) co_return std::unexpected(std::move(one).error());
  if (!meeting->outcome) co_return std::unexpected(std::move(meeting->outcome).error());
  co_return std::pair<A, B>(*std::move(one), *std::move(meeting->outcome));
}

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
