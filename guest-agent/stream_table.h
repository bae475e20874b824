// Byte streams that the host has opened (agent.proto, "Connections") and that no process has
// claimed yet. Bounded in number and age: a client that dies between its two steps leaves nothing.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "guest-agent/deadline.h"
#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

struct StreamLimits {
  std::size_t pending = 256;
  std::chrono::milliseconds claim{30000};      // from the id to the claim
  std::chrono::milliseconds handshake{10000};  // from the connection to the id
};

class StreamTable {
 public:
  explicit StreamTable(const asio::any_io_executor& executor, StreamLimits limits = {});

  // Reads the stream's id from a fresh connection, keeps it and answers kStreamAccepted. The
  // connection is closed on failure: an id of 0 or one that is pending, a full table, silence.
  [[nodiscard]] Task<void> admit(UniqueFd connection);

  // Takes a stream out of the table; not_found when it is not (or no longer) there.
  [[nodiscard]] Result<UniqueFd> claim(std::uint64_t id);

  [[nodiscard]] std::size_t pending() const { return streams_.size(); }

 private:
  struct Pending {
    UniqueFd fd;
    std::unique_ptr<Deadline> expiry;
  };

  asio::any_io_executor executor_;
  StreamLimits limits_;
  std::size_t admitting_ = 0;
  std::map<std::uint64_t, Pending> streams_;
};

}  // namespace agentvm::guest
