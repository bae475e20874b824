#include "shim/async_lock.h"

namespace agentvm::shim {

struct AsyncLock::State {
  explicit State(const asio::any_io_executor& executor)
      : freed(executor, asio::steady_timer::time_point::max()) {}
  bool held = false;
  asio::steady_timer freed;  // never expires: cancelling it wakes who waits
};

AsyncLock::AsyncLock(const asio::any_io_executor& executor)
    : state_(std::make_shared<State>(executor)) {}

asio::awaitable<AsyncLock::Guard> AsyncLock::lock() {
  const auto state = state_;
  while (state->held) (void)co_await state->freed.async_wait(use_result);
  state->held = true;
  co_return Guard(state);
}

AsyncLock::Guard::~Guard() {
  if (!state_) return;
  state_->held = false;
  state_->freed.cancel();
}

}  // namespace agentvm::shim
