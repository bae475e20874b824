#include "guest-agent/deadline.h"

#include <utility>

namespace agentvm::guest {

struct Deadline::State {
  asio::steady_timer timer;
  std::function<void()> expire;
  bool armed = true;
  bool expired = false;
};

Deadline::Deadline(const asio::any_io_executor& executor, std::chrono::milliseconds after,
                   std::function<void()> expire)
    : state_(std::make_shared<State>(asio::steady_timer(executor, after), std::move(expire))) {
  state_->timer.async_wait([state = state_](const boost::system::error_code& code) {
    if (code || !state->armed) return;
    state->expired = true;
    state->expire();
  });
}

Deadline::~Deadline() {
  state_->armed = false;
  state_->timer.cancel();
}

bool Deadline::expired() const {
  return state_->expired;
}

}  // namespace agentvm::guest
