// The server's end of ttrpc connections: handlers by service and method, unary, concurrent, in one
// thread. Compatible with containerd's ttrpc clients; a streaming request is answered
// UNIMPLEMENTED.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::rpc {

// Never used twice by one Server, never 0.
using ConnectionId = std::uint64_t;

// What a handler may know of the connection its call came over. It may be kept (by shared_ptr)
// beyond the call and beyond the connection.
class Connection {
 public:
  using HookId = std::uint64_t;

  virtual ~Connection() = default;
  [[nodiscard]] virtual ConnectionId id() const = 0;
  [[nodiscard]] virtual bool closed() const = 0;
  // `hook` runs once, when the connection ends for whatever reason; at once, before this returns,
  // when it has ended already. Hooks run in the order they came and may add or remove hooks.
  virtual HookId on_closed(std::function<void()> hook) = 0;
  // The hook will not run any more. Ids that have run or never were are ignored.
  virtual void forget(HookId hook) = 0;
};

// One call. Lives until the handler's task has ended.
struct CallContext {
  std::shared_ptr<Connection> connection;
  // When the client gives up, if it said so. A handler need not care.
  std::optional<std::chrono::steady_clock::time_point> deadline;
};

// Takes the request's payload, gives the response's. An Error is answered as its status code with
// its text(). Handlers are not cancelled when their connection ends; their answer is then dropped.
using Handler = std::function<Task<std::string>(CallContext&, std::string)>;

struct ServerLimits {
  std::size_t connections = 64;
  std::size_t calls_per_connection = 1024;
  // Answers waiting for a slow client; past it no further request is read from that client.
  std::size_t unsent_bytes = std::size_t{4} << 20;
};

class Server {
 public:
  explicit Server(ServerLimits limits = {});
  // Closes every connection, and runs their hooks.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Before the first serve(). A method that is there is replaced.
  void handle(std::string service, std::string method, Handler handler);

  // Serves one connected stream until it ends: success when the client ended it between two
  // frames or the Server is gone, invalid_argument on a malformed frame, unavailable when it broke
  // or there are too many connections. Spawn one per connection.
  [[nodiscard]] Task<void> serve(UniqueFd connection);

  [[nodiscard]] std::size_t connections() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace agentvm::rpc
