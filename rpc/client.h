// The client's end of a ttrpc connection: many unary calls at once, in one thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::rpc {

// A call without a deadline.
inline constexpr std::chrono::milliseconds kNoDeadline{0};

// Owns the connection. Destruction closes it; calls that wait then fail with unavailable. Calls and
// wait_closed() may outlive the Client, not the executor.
class Client {
 public:
  // `connection` is a connected stream: a unix or vsock socket, a serial port. It is made
  // non-blocking.
  [[nodiscard]] static Result<Client> create(const asio::any_io_executor& executor,
                                             UniqueFd connection);
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  // The answer's payload, or the error that the handler answered with (kind by status code, the
  // message as sent). unavailable when the connection ends first (at once), when no answer came
  // within `timeout`, or after close(); invalid_argument for a payload past the limit of a frame.
  // A call that is given up is not undone: the server is not told.
  [[nodiscard]] Task<std::string> call(std::string service, std::string method, std::string payload,
                                       std::chrono::milliseconds timeout);

  // Ends when the connection has: success when the server ended it between two frames or close()
  // did; else what broke it. Any number may wait.
  [[nodiscard]] Task<void> wait_closed();

  void close();

  struct State;

 private:
  explicit Client(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace agentvm::rpc
