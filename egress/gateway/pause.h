// A loop that failed for want of files or memory tries again, and not at once.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "oci/base/async.h"

namespace agentvm::egress {

inline constexpr std::chrono::milliseconds kAfterFailure{50};

inline asio::awaitable<void> pause(std::chrono::milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  (void)co_await timer.async_wait(use_result);
}

}  // namespace agentvm::egress
