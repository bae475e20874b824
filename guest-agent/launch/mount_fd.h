// Mounts as file descriptors (open_tree, fsopen, fsmount, mount_setattr, move_mount; Linux 5.2 to
// 5.12): made detached, given their attributes, then put at a place that is a descriptor too. No
// path is resolved between the check of a place and its use.
#pragma once

#include <cstdint>
#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "oci/mount_options.h"

namespace agentvm::guest {

// A detached copy of the mount at `path` (with those below it when `recursive`), as bind mounts
// are. An empty path means `dirfd` itself.
[[nodiscard]] Result<UniqueFd> clone_tree(int dirfd, const std::string& path, bool recursive);

struct Filesystem {
  std::string type;
  std::string source;
  std::string data;            // options of the file system, joined by commas
  bool read_only = false;      // the superblock itself, for those on a disk
  unsigned long sb_flags = 0;  // MS_SYNCHRONOUS, MS_DIRSYNC, MS_LAZYTIME, MS_MANDLOCK
};
// A new, detached mount. The error has what the file system itself had to say.
[[nodiscard]] Result<UniqueFd> new_mount(const Filesystem& filesystem);

// MOUNT_ATTR_*, as mount_setattr(2) takes them.
struct MountAttributes {
  std::uint64_t set = 0;
  std::uint64_t clear = 0;
  friend bool operator==(const MountAttributes&, const MountAttributes&) = default;
};
// What mount(2)'s flags of `options` mean for one mount. Read-only is among them.
[[nodiscard]] MountAttributes attributes_of(const oci::MountOptions& options);

[[nodiscard]] Result<void> set_attributes(int mount_fd, MountAttributes attributes, bool recursive);
// MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE, with MS_REC or without.
[[nodiscard]] Result<void> set_propagation(int mount_fd, unsigned long propagation);

// Puts a detached mount on the place that `place_fd` names. `mount_fd` goes on naming its root.
[[nodiscard]] Result<void> attach(int mount_fd, int place_fd);

// Puts the detached mount of a file on `path` below `root_fd`, on an empty file made for it where
// there is none. Never inside a procfs, where a symlink of the image may lead.
[[nodiscard]] Result<void> attach_file(int mount_fd, int root_fd, const std::string& path);

// statfs(2)'s f_type of what `fd` is on; 0 when it cannot be told.
[[nodiscard]] std::uint64_t filesystem_magic(int fd);

}  // namespace agentvm::guest
