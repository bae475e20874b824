#include "runtime/disks/place.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <ranges>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "runtime/disks/image.h"

namespace agentvm::runtime {

namespace {

bool is_directory(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace

std::string layer_directory(const std::vector<MountEntry>& table, std::string_view rootfs) {
  const auto lies_there = [&](const MountEntry& entry) { return entry.mount_point == rootfs; };
  const auto reversed = table | std::views::reverse;
  const auto mount = std::ranges::find_if(reversed, lies_there);
  if (mount == reversed.end() || mount->type != "overlay") return {};
  constexpr std::string_view kUpper = "upperdir=";
  for (const std::string_view option : split(mount->options, ",")) {
    // A relative one is from wherever the engine was when it mounted.
    if (!option.starts_with(kUpper) || option.size() == kUpper.size() ||
        option[kUpper.size()] != '/') {
      continue;
    }
    return std::filesystem::path(option.substr(kUpper.size())).parent_path().string();
  }
  return {};
}

Result<DiskPlace> find_disk_place(const DiskPlan& plan, const std::string& rootfs,
                                  const std::string& id, const std::string& directory) {
  if (!plan.volume.empty()) return DiskPlace{plan.volume, kDiskFile, true};
  const std::string layer = layer_directory(TRY(read_mount_table()), rootfs);
  if (!layer.empty() && is_directory(layer)) return DiskPlace{layer, kDiskFile, true};
  return DiskPlace{directory, fmt::format("{}-{}.img", id, hexadecimal(sys::random_bytes(8))),
                   false};
}

}  // namespace agentvm::runtime
