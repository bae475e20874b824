// A time limit on something that waits: calls `expire` once unless it is destroyed before. Safe
// against the race in which the timer has fired but its handler has not run yet.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "oci/base/async.h"

namespace agentvm::guest {

class Deadline {
 public:
  // `expire` runs on the executor's thread; what it touches must live as long as the Deadline.
  Deadline(const asio::any_io_executor& executor, std::chrono::milliseconds after,
           std::function<void()> expire);
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline();

  [[nodiscard]] bool expired() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace agentvm::guest
