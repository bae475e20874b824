// Id-mapped mounts (config.md, "uidMappings"; Linux 5.12): what the mount's files are owned by is
// shown shifted. Which file systems can is the kernel's: ext4, xfs, btrfs, overlayfs; tmpfs from
// 6.3 and virtiofs from 6.12 on.
#pragma once

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::guest {

// Maps the detached mount's ids by the mount's own mappings, or the container's when it has none.
[[nodiscard]] Result<void> map_ids(int mount_fd, const oci::Spec& spec, const oci::Mount& mount,
                                   bool recursive);

// The text of a uid_map or gid_map file.
[[nodiscard]] std::string id_map_text(const std::vector<oci::IdMapping>& mappings);

// Writes the id maps of the process `pid`, which is in a new user namespace. Wants the rights of
// the parent namespace.
[[nodiscard]] Result<void> write_id_maps(pid_t pid, const std::vector<oci::IdMapping>& uids,
                                         const std::vector<oci::IdMapping>& gids);

}  // namespace agentvm::guest
