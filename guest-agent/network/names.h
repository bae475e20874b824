// The container's resolver, 127.0.0.11, which is on the host: DNS messages that come in on that
// address here are answered by Names.Resolve of agent.proto.
#pragma once

#include <memory>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

class Names {
 public:
  // `stream` leads to the host. Answers on port 53, UDP and TCP, without having it (name_port.h).
  [[nodiscard]] static Result<std::unique_ptr<Names>> create(const asio::any_io_executor& executor,
                                                             UniqueFd stream);
  // What is under way ends by itself.
  ~Names();
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;

 private:
  struct State;
  explicit Names(std::shared_ptr<State> state) : state_(std::move(state)) {}
  static asio::awaitable<void> serve_datagrams(std::shared_ptr<State> state);
  static asio::awaitable<void> serve_streams(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace agentvm::guest
