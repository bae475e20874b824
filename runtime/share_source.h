// What a source of the host is, and whether a VM can be shown it.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::runtime {

struct OpenedSource {
  UniqueFd fd;  // O_PATH, symlinks followed as the host has them
  bool directory = true;
};

// invalid_argument, with a sentence that says what to do instead, for what is missing, for
// sockets, devices and fifos, and for the kernel's own file systems (proc, sysfs, cgroup, /dev, …),
// which are the host's kernel's and not the container's.
[[nodiscard]] Result<OpenedSource> open_share_source(const std::string& source);

// Whether mountinfo's file system type is one of the kernel's own, as above.
[[nodiscard]] bool is_kernel_filesystem(std::string_view type);

}  // namespace agentvm::runtime
