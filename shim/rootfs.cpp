#include "shim/rootfs.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "oci/base/text.h"
#include "oci/base/try.h"
#include "oci/mount_options.h"

namespace agentvm::shim {

namespace {

constexpr std::string_view kLower = "lowerdir=";
constexpr int kMostMounts = 128;  // stacked on one point

Result<void> make_mount(const RootfsMount& mount, const std::string& target) {
  const ShortOptions layers = shorten_layers(mount.options);
  if (!layers.directory.empty() && ::chdir(layers.directory.c_str()) != 0) {
    return fail_errno(errno, "enter the directory of the image's layers");
  }
  const auto options = TRY(oci::parse_mount_options(layers.options));
  const bool bind = options.bind() || mount.type == "bind";
  const unsigned long tree = bind ? MS_BIND | (options.flags & MS_REC) : 0UL;
  const unsigned long first = bind ? tree : options.flags;
  if (::mount(mount.source.c_str(), target.c_str(), mount.type.c_str(), first,
              bind || options.data.empty() ? nullptr : options.data.c_str()) != 0) {
    return fail_errno(errno, fmt::format("mount the image ({})", mount.type));
  }
  // mount(2) makes a bind with the flags of its source: a second step gives it its own.
  const unsigned long own = options.flags & ~static_cast<unsigned long>(MS_BIND | MS_REC);
  if (bind && own != 0 &&
      ::mount(nullptr, target.c_str(), nullptr, MS_BIND | MS_REMOUNT | own, nullptr) != 0) {
    return fail_errno(errno, "change the image's mount");
  }
  for (const unsigned long change : options.propagation) {
    if (::mount(nullptr, target.c_str(), nullptr, change, nullptr) != 0) {
      return fail_errno(errno, "change the propagation of the image's mount");
    }
  }
  return {};
}

std::string common_directory(std::span<const std::string_view> layers) {
  std::string_view common = layers.front();
  for (const std::string_view layer : layers) {
    const auto differ = std::ranges::mismatch(common, layer);
    common = common.substr(0, static_cast<std::size_t>(differ.in1 - common.begin()));
  }
  return std::string(common.substr(0, common.rfind('/') + 1));
}

}  // namespace

ShortOptions shorten_layers(std::span<const std::string> options) {
  ShortOptions out{"", {options.begin(), options.end()}};
  for (std::string& option : out.options) {
    if (!option.starts_with(kLower)) continue;
    // A "\:" in a name cannot be told apart here; what overlayfs is given must not change its
    // meaning.
    if (option.find('\\') != option.npos) return {"", {options.begin(), options.end()}};
    const auto layers = split(std::string_view(option).substr(kLower.size()), ":");
    if (layers.size() < 2 || !layers.front().starts_with('/')) continue;
    out.directory = common_directory(layers);
    if (out.directory.size() < 2) return {"", {options.begin(), options.end()}};
    std::string shorter(kLower);
    for (const std::string_view layer : layers) {
      if (shorter.size() > kLower.size()) shorter += ':';
      shorter += layer.substr(out.directory.size());
    }
    option = std::move(shorter);
    return out;
  }
  return out;
}

Result<void> mount_rootfs(std::span<const RootfsMount> mounts, const std::string& target) {
  for (const RootfsMount& mount : mounts) {
    auto mounted = make_mount(mount, target);
    if (mounted) continue;
    Error error = std::move(mounted).error();
    if (auto undone = unmount_rootfs(target); !undone)
      error = std::move(error).also(undone.error());
    return std::unexpected(std::move(error));
  }
  return {};
}

Result<void> unmount_rootfs(const std::string& target) {
  for (int i = 0; i < kMostMounts; ++i) {
    if (::umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    // No mount point; none any more.
    if (errno == EINVAL || errno == ENOENT) return {};
    return fail_errno(errno, "unmount the image");
  }
  return fail(ErrorKind::internal, fmt::format("more than {} mounts on the image", kMostMounts));
}

}  // namespace agentvm::shim
