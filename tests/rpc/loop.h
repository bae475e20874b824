// Running a test's coroutine, and an event for one part of it to wait for another.
#pragma once

#include <gtest/gtest.h>

#include <utility>

#include "oci/base/async.h"
#include "rpc/stream_fd.h"

namespace agentvm::rpc {

// The test fails when its coroutine ends with an error.
inline void run_test(asio::io_context& io, Task<void> body) {
  const auto result = run_to_end(io, std::move(body));
  EXPECT_TRUE(result) << (result ? "" : result.error().text());
}

class Event {
 public:
  explicit Event(asio::io_context& io) : timer_(io, asio::steady_timer::time_point::max()) {}
  void set() {
    set_ = true;
    timer_.cancel();
  }
  [[nodiscard]] bool is_set() const { return set_; }
  asio::awaitable<void> wait() {
    while (!set_) co_await timer_.async_wait(use_result);
  }

 private:
  asio::steady_timer timer_;
  bool set_ = false;
};

// Starts `task` at the side; wait() gives its outcome.
template <class T>
class Started {
 public:
  Started(asio::io_context& io, Task<T> task)
      : done_(io), outcome_(fail(ErrorKind::internal, "still running")) {
    spawn(io.get_executor(), run(*this, std::move(task)));
  }
  Started(const Started&) = delete;
  Started& operator=(const Started&) = delete;

  [[nodiscard]] bool done() const { return done_.is_set(); }
  Task<T> wait() {
    co_await done_.wait();
    co_return std::move(outcome_);
  }

 private:
  static asio::awaitable<void> run(Started& self, Task<T> task) {
    self.outcome_ = co_await std::move(task);
    self.done_.set();
  }

  Event done_;
  Result<T> outcome_;
};

}  // namespace agentvm::rpc
