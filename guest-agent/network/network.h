// The guest's network as the host describes it (agent.proto, SetNetwork).
#pragma once

#include <memory>
#include <optional>

#include "guest-agent/network/links.h"
#include "guest-agent/network/names.h"
#include "guest-agent/stream_table.h"
#include "oci/base/async.h"
#include "rpc/agent.pb.h"

namespace agentvm::guest {

class Network {
 public:
  // `streams` outlives it.
  Network(const asio::any_io_executor& executor, StreamTable& streams)
      : executor_(executor), streams_(streams) {}

  // On failure a part is done; what was the state before is what the next call compares with.
  [[nodiscard]] Result<void> set(const agent::v1::SetNetworkRequest& request);

 private:
  Result<void> let_go(const agent::v1::SetNetworkRequest& wanted);
  Result<void> take(const agent::v1::NetworkInterface& interface);
  Result<void> set_addresses(const agent::v1::NetworkInterface& interface);
  Result<void> set_routes(const agent::v1::SetNetworkRequest& wanted);
  Result<void> set_neighbours(const agent::v1::SetNetworkRequest& wanted);

  asio::any_io_executor executor_;
  StreamTable& streams_;
  std::optional<Links> links_;
  agent::v1::SetNetworkRequest now_;
  std::unique_ptr<Names> names_;
};

}  // namespace agentvm::guest
