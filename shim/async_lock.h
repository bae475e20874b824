// One coroutine at a time.
#pragma once

#include <memory>

#include "oci/base/async.h"

namespace agentvm::shim {

class AsyncLock {
  struct State;

 public:
  class Guard {
   public:
    explicit Guard(std::shared_ptr<State> state) : state_(std::move(state)) {}
    Guard(Guard&&) noexcept = default;
    Guard& operator=(Guard&&) = delete;
    ~Guard();

   private:
    std::shared_ptr<State> state_;
  };

  explicit AsyncLock(const asio::any_io_executor& executor);
  [[nodiscard]] asio::awaitable<Guard> lock();

 private:
  std::shared_ptr<State> state_;
};

}  // namespace agentvm::shim
