// A pty of the container's own devpts instance, opened by the child.
#pragma once

#include <sys/types.h>

#include <optional>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "oci/spec.h"

namespace agentvm::guest {

struct Terminal {
  UniqueFd master;
  UniqueFd slave;
};

// Opens /dev/pts/ptmx below `root_fd`, which must be that of a devpts; the slave is found by the
// master, not by a path of the container's.
[[nodiscard]] Result<Terminal> open_terminal(int root_fd,
                                             const std::optional<oci::ConsoleSize>& size);

// Binds the slave on /dev/console below `root_fd`.
[[nodiscard]] Result<void> bind_console(int root_fd, int slave);

// Makes the slave the controlling terminal of the calling session leader and its fds 0, 1 and 2.
[[nodiscard]] Result<void> take_terminal(int slave);

}  // namespace agentvm::guest
