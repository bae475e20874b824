// create: from a bundle to a container whose program waits for start (runtime.md "Create").
#pragma once

#include <string>

#include "runtime/container/engine.h"
#include "runtime/record.h"
#include "runtime/timings.h"

namespace agentvm::runtime {

struct CreateRequest {
  std::string id;
  std::string bundle;          // may be relative
  std::string console_socket;  // for process.terminal, unless foreground
  // The caller stays for the container's life and lends its own terminal (`run`).
  bool foreground = false;
  Timings* timings = nullptr;  // borrowed; filled when given
};

struct CreatedContainer {
  ContainerRecord record;
  bool terminal = false;  // process.terminal of the bundle
};

// The calling process's fds 0, 1 and 2 become the container's streams. Blocks until the container
// is created. On failure nothing of it is left. Must be called before any event loop or thread of
// the process exists.
[[nodiscard]] Result<CreatedContainer> create_container(const Engine& engine,
                                                        const CreateRequest& request);

}  // namespace agentvm::runtime
