// System calls that may wait for a disk or for the host's file server (mount, umount, sync), made
// in a forked child so that the event loop, and with it every other container, goes on.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "guest-agent/reaper.h"
#include "oci/base/async.h"

namespace agentvm::guest {

// Runs `call` in a child of its own; it returns 0 or an errno, and must not allocate, lock or log.
// The error says `doing` and that errno. With a `limit` the child is left behind when it takes
// longer (it cannot be killed while it waits in the kernel) and the error is unavailable.
[[nodiscard]] Task<void> call_in_child(Reaper& reaper, std::string doing, std::function<int()> call,
                                       std::chrono::milliseconds limit = {});

// syncfs(2) of the file system that `path` is on.
[[nodiscard]] Task<void> sync_file_system(Reaper& reaper, std::string path);

}  // namespace agentvm::guest
