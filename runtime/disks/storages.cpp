#include "runtime/disks/storages.h"

#include <fmt/format.h>

#include "rpc/guest_contract.h"

namespace agentvm::runtime {

void add_disk(agent::v1::CreateContainerRequest& request, const DiskPlan& plan) {
  agent::v1::Storage* disk = request.add_storages();
  disk->set_driver("block");
  disk->set_source(fmt::format("{}{}", rpc::kSlotDevices, rpc::kDiskSlot));
  disk->set_mount_point(kGuestDisk);
  disk->set_fs_type("ext4");
  // What is deleted is given back to the host; the inode tables are zeros already; an error of the
  // host's ends all writing, as the journal would have it.
  for (const char* option : {"discard", "noinit_itable", "errors=remount-ro"}) {
    disk->add_options(option);
  }
  if (!plan.holds_root) return;
  agent::v1::Storage* root = request.add_storages();
  root->set_driver("overlay");
  root->set_mount_point(kGuestRoot);
  // The dot: a file system of the host's below the share is mounted when a path goes on through it,
  // and overlayfs cannot lie on what is yet to be mounted.
  root->add_options(fmt::format("lowerdir={}/rootfs/.", kGuestShared));
  root->add_options(fmt::format("upperdir={}/upper", kGuestDisk));
  root->add_options(fmt::format("workdir={}/work", kGuestDisk));
}

}  // namespace agentvm::runtime
