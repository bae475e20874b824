// A guest's memory as a file: on a tmpfs of the machine's own, where QEMU and the vhost-user
// backends map it shared, and where it can be filled before QEMU needs it and read after a stop.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "vmm/child.h"

namespace agentvm::vmm {

// Mounts a tmpfs for one such file on the directory, in the caller's mount namespace, which must be
// its own: the mount lives as long as that.
[[nodiscard]] Result<void> mount_guest_memory(const std::string& directory,
                                              std::uint64_t memory_mib);

// Makes the file `path`, empty of data and of the guest's size, for `owner` alone.
[[nodiscard]] Result<UniqueFd> make_memory_file(const std::string& path, std::uint64_t memory_mib,
                                                uid_t owner);

// Copies what `from` holds into `to` at the same places, in a child process; holes stay holes. The
// child exits with 0, or with the errno of what failed. Both fds are borrowed until then.
[[nodiscard]] Result<Child> start_memory_copy(int from, int to);

// Copies the pages that are not all zero, in this process, for as long as that takes. Returns the
// bytes copied.
[[nodiscard]] Result<std::uint64_t> copy_used_pages(int from, int to);

}  // namespace agentvm::vmm
