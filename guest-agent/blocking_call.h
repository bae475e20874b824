// System calls that may wait for a disk or for the host's file server (mount, umount, sync), made
// by a process of their own so that the event loop, and with it every other container, goes on.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <string>

#include "guest-agent/reaper.h"
#include "oci/base/async.h"

namespace agentvm::guest {

// One system call as the kernel takes it: its number and arguments. What they point to must stay
// until the call has ended.
struct SlowCall {
  long number = 0;
  std::array<std::uintptr_t, 5> arguments{};
};

// Makes it in a process that shares the agent's memory, which is no copy of it and so takes a
// fraction of a fork. The error says `doing` and the errno. With a `limit` the call is left behind
// when it takes longer (it cannot be ended while it waits in the kernel), and with it what its
// arguments point to: the error is unavailable.
[[nodiscard]] Task<void> call_apart(Reaper& reaper, std::string doing, SlowCall call,
                                    std::chrono::milliseconds limit = {});

// Runs `call` in a forked child; it returns 0 or an errno, and must not allocate, lock or log.
// The error says `doing` and that errno.
[[nodiscard]] Task<void> call_in_child(Reaper& reaper, std::string doing,
                                       std::function<int()> call);

// syncfs(2) of the file system that `path` is on.
[[nodiscard]] Task<void> sync_file_system(Reaper& reaper, std::string path);

}  // namespace agentvm::guest
