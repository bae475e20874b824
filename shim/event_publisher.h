// Events to containerd, in the order in which they happened: ttrpc to its own socket, again and
// again while it restarts.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "oci/base/async.h"

namespace google::protobuf {
class MessageLite;
}

namespace agentvm::shim {

class EventPublisher {
 public:
  // `address`: a path, with or without "unix://". Empty: nobody is told.
  EventPublisher(const asio::any_io_executor& executor, std::string address,
                 std::string name_space);
  ~EventPublisher();
  EventPublisher(const EventPublisher&) = delete;
  EventPublisher& operator=(const EventPublisher&) = delete;

  // `topic`: "/tasks/exit"; `type`: the message's full name. Does not wait. Past kMostQueued the
  // oldest is dropped, with an error in the log.
  void publish(std::string topic, std::string type, const google::protobuf::MessageLite& event);
  static constexpr std::size_t kMostQueued = 2048;

  // Until containerd has them all. False when the patience came to its end first.
  [[nodiscard]] asio::awaitable<bool> drain(std::chrono::milliseconds patience);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace agentvm::shim
