// A limit to how long a socket's operations may take.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>

#include "oci/base/async.h"

namespace agentvm::egress {

// Cancels what waits on the socket when the time has passed, while the object lives.
template <class Socket>
class Deadline {
 public:
  Deadline(std::shared_ptr<Socket> socket, std::chrono::milliseconds after)
      : timer_(socket->get_executor(), after), passed_(std::make_shared<State>()) {
    timer_.async_wait(
        [socket = std::move(socket), state = passed_](const boost::system::error_code& code) {
          // A handler may be on its way when the object goes.
          if (code || state->over) return;
          state->passed = true;
          boost::system::error_code ignored;
          socket->cancel(ignored);
        });
  }
  ~Deadline() { passed_->over = true; }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  [[nodiscard]] bool passed() const { return passed_->passed; }

 private:
  struct State {
    bool passed = false;
    bool over = false;
  };
  asio::steady_timer timer_;
  std::shared_ptr<State> passed_;
};

}  // namespace agentvm::egress
