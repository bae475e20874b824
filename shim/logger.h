// A logging program of `binary://` (containerd, core/runtime/v2/logging): it reads a process's
// output from fds 3 and 4 and closes fd 5 once it is ready.
#pragma once

#include <memory>
#include <string>

#include "oci/base/async.h"
#include "shim/io_uri.h"
#include "shim/reaper.h"

namespace agentvm::shim {

class Logger {
 public:
  struct Started {
    std::unique_ptr<Logger> logger;
    UniqueFd out;  // the writing ends, for the process
    UniqueFd err;
  };
  // Ends when the program says it is ready; unavailable when it does not.
  [[nodiscard]] static Task<Started> start(Reaper& reaper, const IoUri& uri, std::string name_space,
                                           std::string container_id);
  // Killed if it still runs.
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  // Once the pipes are closed: until it has written what it read; then it is killed.
  asio::awaitable<void> wait_end(std::chrono::milliseconds patience);

 private:
  struct State;
  explicit Logger(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace agentvm::shim
