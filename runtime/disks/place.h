// Where on the host a container's disk lives.
#pragma once

#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "runtime/disks/plan.h"
#include "runtime/mount_table.h"

namespace agentvm::runtime {

struct DiskPlace {
  std::string directory;
  std::string name;  // of the image in it
  // It goes with its directory, which somebody else removes; otherwise with the container's delete.
  bool lasting = false;
  friend bool operator==(const DiskPlace&, const DiskPlace&) = default;
};

// The directory that holds the writable layer of the overlay that is mounted on `rootfs`, beside
// the layer itself: engines remove it whole when they remove the container, and neither `docker
// diff`, `commit` nor `export` look there. "": the rootfs is no overlay, or does not tell. Pure.
[[nodiscard]] std::string layer_directory(const std::vector<MountEntry>& table,
                                          std::string_view rootfs);

// In the plan's volume; else in the layer_directory(); else in `directory`, under a name of its
// own. `rootfs` is canonical.
[[nodiscard]] Result<DiskPlace> find_disk_place(const DiskPlan& plan, const std::string& rootfs,
                                                const std::string& id,
                                                const std::string& directory);

}  // namespace agentvm::runtime
