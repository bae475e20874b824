// The guest's own mounts that containers are built from (agent.proto, Storage): a virtiofs share, a
// tmpfs, a disk, a directory of one of these. A submount the kernel makes itself, where a share has
// one on the host; it and what is below it are let go of here. Each is mounted once, however many
// containers use it, and unmounted with the last.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "guest-agent/reaper.h"
#include "oci/base/async.h"

namespace agentvm::guest {

struct StorageOrder {
  std::string driver;  // "virtiofs", "tmpfs", "block", "bind", "submount", "overlay"
  // virtiofs: tag; block: device path, or rpc::kSlotDevices and a slot's number; bind: a directory
  // of the guest; overlay: its directories are options
  std::string source;
  std::string mount_point;  // absolute
  std::string fs_type;      // block only; virtiofs and tmpfs may leave it empty
  std::vector<std::string> options;
  friend bool operator==(const StorageOrder&, const StorageOrder&) = default;
};

// The order as it will be mounted, or invalid_argument naming what is wrong with it.
[[nodiscard]] Result<StorageOrder> checked_storage(StorageOrder order);

class StorageTable {
 public:
  explicit StorageTable(Reaper& reaper) : reaper_(reaper) {}

  // Mounts, or counts one more user of what is mounted. A device that is not there yet is waited
  // for. already_exists when something else is mounted at that place by an earlier order.
  [[nodiscard]] Task<void> acquire(StorageOrder order);
  // One user less; the last unmounts and removes the mount point if we made it.
  [[nodiscard]] Task<void> release(std::string mount_point);

  [[nodiscard]] std::size_t mounted() const { return mounted_.size(); }

 private:
  struct Mounted {
    StorageOrder order;
    std::size_t users = 0;
  };
  // Mounting and unmounting take turns: both may wait, and a second order for a place must see
  // how the first went.
  class Turn;
  asio::awaitable<std::shared_ptr<Turn>> take_turn();
  Task<void> mount(const StorageOrder& order);

  Reaper& reaper_;
  std::map<std::string, Mounted> mounted_;
  std::shared_ptr<Event> last_turn_;
};

}  // namespace agentvm::guest
