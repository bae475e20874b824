// A process that stands in for something in the guest: left an orphan by two forks, in a session
// of its own, with none of the caller's descriptors.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::runtime {

// `life` runs in the orphan and must not return; the caller gets the orphan's pid, which exists at
// least until somebody reaps it. Signal dispositions and mask are the default ones in it, SIGPIPE
// is ignored. No event loop or thread may exist at this point.
[[nodiscard]] Result<pid_t> spawn_orphan(const std::function<void()>& life);

// For `life`, once it has what it needs of fds 0, 1 and 2: they become /dev/null, so that nobody
// waits for the end of a pipe that we do not use.
void detach_stdio();

// For one that works on after the caller's end and stands in for nothing: without standard streams,
// log and working directory, and shown by ps(1) as `title`.
void live_on_unseen(std::string_view title);

}  // namespace agentvm::runtime
