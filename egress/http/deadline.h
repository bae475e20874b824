// Does something unless it is destroyed in time.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "oci/base/async.h"

namespace agentvm::egress::http {

class Deadline {
 public:
  Deadline(const asio::any_io_executor& executor, std::chrono::milliseconds after,
           std::function<void()> then)
      : timer_(executor, after), then_(std::make_shared<std::function<void()>>(std::move(then))) {
    // It may be in the queue already when this goes.
    timer_.async_wait([weak = std::weak_ptr(then_)](const boost::system::error_code& error) {
      const auto held = weak.lock();
      if (!error && held) (*held)();
    });
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  asio::steady_timer timer_;
  std::shared_ptr<std::function<void()>> then_;
};

}  // namespace agentvm::egress::http
