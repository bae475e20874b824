// A Server and a Client joined by a unix socket pair.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "oci/base/sys.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/rpc/loop.h"

namespace agentvm::rpc {

inline std::pair<UniqueFd, UniqueFd> sockets() {
  auto pair = sys::socket_pair(SOCK_STREAM);
  EXPECT_TRUE(pair);
  return std::move(*pair);
}

struct Pair {
  explicit Pair(ServerLimits limits = {}) : server(std::make_unique<Server>(limits)) {
    server->handle("test", "Echo", [](CallContext&, std::string payload) -> Task<std::string> {
      co_return payload;
    });
  }

  // One more connection: its serve() and its client.
  struct Link {
    std::unique_ptr<Started<void>> served;
    std::unique_ptr<Client> client;
  };
  Link connect() {
    auto [here, there] = sockets();
    auto client = Client::create(io.get_executor(), std::move(here));
    EXPECT_TRUE(client);
    return {std::make_unique<Started<void>>(io, server->serve(std::move(there))),
            std::make_unique<Client>(std::move(*client))};
  }
  // One end served, the other for a test that writes bytes itself.
  std::pair<std::unique_ptr<Started<void>>, UniqueFd> connect_raw() {
    auto [here, there] = sockets();
    return {std::make_unique<Started<void>>(io, server->serve(std::move(there))), std::move(here)};
  }

  asio::io_context io;
  std::unique_ptr<Server> server;
};

inline constexpr std::chrono::milliseconds kLong{60000};

}  // namespace agentvm::rpc
