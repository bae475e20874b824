// The root file system of a container as containerd hands it over: mounts to be made, one over the
// other, on <bundle>/rootfs (containerd, core/mount).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::shim {

struct RootfsMount {
  std::string type;
  std::string source;
  std::vector<std::string> options;
  friend bool operator==(const RootfsMount&, const RootfsMount&) = default;
};

// On failure nothing stays mounted. Changes the working directory: for a process of its own.
[[nodiscard]] Result<void> mount_rootfs(std::span<const RootfsMount> mounts,
                                        const std::string& target);
// Everything that is mounted there; nothing is fine, and so is no such directory.
[[nodiscard]] Result<void> unmount_rootfs(const std::string& target);

// Layers as names relative to their common directory, so that many fit the page that mount(2)
// copies: {directory, options}; "" when nothing is gained. Pure.
struct ShortOptions {
  std::string directory;
  std::vector<std::string> options;
};
[[nodiscard]] ShortOptions shorten_layers(std::span<const std::string> options);

}  // namespace agentvm::shim
