#include "runtime/disks/guest_docker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "runtime/guest_devices.h"

namespace agentvm::runtime {

namespace {

constexpr std::uint32_t kDeviceMode = 0660;
constexpr std::string_view kUsualPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// capabilities(7); the guest leaves out those that its kernel lacks.
constexpr std::array<std::string_view, 41> kCapabilities{"CAP_CHOWN",
                                                         "CAP_DAC_OVERRIDE",
                                                         "CAP_DAC_READ_SEARCH",
                                                         "CAP_FOWNER",
                                                         "CAP_FSETID",
                                                         "CAP_KILL",
                                                         "CAP_SETGID",
                                                         "CAP_SETUID",
                                                         "CAP_SETPCAP",
                                                         "CAP_LINUX_IMMUTABLE",
                                                         "CAP_NET_BIND_SERVICE",
                                                         "CAP_NET_BROADCAST",
                                                         "CAP_NET_ADMIN",
                                                         "CAP_NET_RAW",
                                                         "CAP_IPC_LOCK",
                                                         "CAP_IPC_OWNER",
                                                         "CAP_SYS_MODULE",
                                                         "CAP_SYS_RAWIO",
                                                         "CAP_SYS_CHROOT",
                                                         "CAP_SYS_PTRACE",
                                                         "CAP_SYS_PACCT",
                                                         "CAP_SYS_ADMIN",
                                                         "CAP_SYS_BOOT",
                                                         "CAP_SYS_NICE",
                                                         "CAP_SYS_RESOURCE",
                                                         "CAP_SYS_TIME",
                                                         "CAP_SYS_TTY_CONFIG",
                                                         "CAP_MKNOD",
                                                         "CAP_LEASE",
                                                         "CAP_AUDIT_WRITE",
                                                         "CAP_AUDIT_CONTROL",
                                                         "CAP_SETFCAP",
                                                         "CAP_MAC_OVERRIDE",
                                                         "CAP_MAC_ADMIN",
                                                         "CAP_SYSLOG",
                                                         "CAP_WAKE_ALARM",
                                                         "CAP_BLOCK_SUSPEND",
                                                         "CAP_AUDIT_READ",
                                                         "CAP_PERFMON",
                                                         "CAP_BPF",
                                                         "CAP_CHECKPOINT_RESTORE"};

std::string_view path_of_environment(const oci::Spec& spec) {
  constexpr std::string_view kName = "PATH=";
  if (!spec.process) return kUsualPath;
  for (const std::string_view entry : spec.process->env) {
    if (entry.starts_with(kName)) return entry.substr(kName.size());
  }
  return kUsualPath;
}

bool is_program(int root, const std::string& path) {
  const auto fd = sys::open_in_root(root, path, O_PATH);
  struct stat status{};
  return fd && ::fstat(fd->get(), &status) == 0 && S_ISREG(status.st_mode) &&
         (status.st_mode & 0111) != 0;
}

bool has_capability(const oci::Spec& spec, std::string_view name) {
  if (!spec.process || !spec.process->capabilities) return false;
  return std::ranges::find(spec.process->capabilities->bounding, name) !=
         spec.process->capabilities->bounding.end();
}

// Documentation/admin-guide/devices.txt of Linux. Their drivers come with the first use.
void give_devices(oci::Spec& spec) {
  const auto give = [&spec](std::string path, const char* type, std::int64_t major,
                            std::int64_t minor) {
    auto& devices = spec.linux_->devices;
    if (std::ranges::find(devices, path, &oci::Device::path) != devices.end()) return;
    oci::Device device;
    device.path = std::move(path);
    device.type = type;
    device.major = major;
    device.minor = minor;
    device.file_mode = kDeviceMode;
    devices.push_back(std::move(device));
  };
  constexpr std::int64_t kMisc = 10;
  constexpr std::int64_t kLoop = 7;
  constexpr std::int64_t kLoops = 8;
  give("/dev/fuse", "c", kMisc, 229);
  give("/dev/net/tun", "c", kMisc, 200);
  give("/dev/loop-control", "c", kMisc, 237);
  for (std::int64_t i = 0; i < kLoops; ++i) give(fmt::format("/dev/loop{}", i), "b", kLoop, i);
}

void give_cgroups(oci::Spec& spec) {
  const auto is_cgroup = [](const oci::Mount& mount) {
    return mount.type == "cgroup" || mount.type == "cgroup2";
  };
  auto found = std::ranges::find_if(spec.mounts, is_cgroup);
  if (found == spec.mounts.end()) {
    spec.mounts.push_back(
        {"/sys/fs/cgroup", "cgroup2", "cgroup2", {"nosuid", "noexec", "nodev"}, {}, {}});
  }
  auto& namespaces = spec.linux_->namespaces;
  if (std::ranges::find(namespaces, oci::NamespaceType::cgroup, &oci::Namespace::type) ==
      namespaces.end()) {
    namespaces.push_back({oci::NamespaceType::cgroup, ""});
  }
}

}  // namespace

Result<std::string> find_dockerd(const std::string& rootfs, const oci::Spec& spec) {
  const auto root = TRY(sys::open_at(AT_FDCWD, rootfs, O_PATH | O_DIRECTORY));
  for (const std::string_view directory : split(path_of_environment(spec), ":")) {
    if (!directory.starts_with('/')) continue;
    std::string path = std::string(directory) + "/dockerd";
    if (is_program(root.get(), path)) return path;
  }
  return std::string();
}

bool is_privileged(const oci::Spec& spec) {
  return allows_every_device(spec) && has_capability(spec, "CAP_SYS_ADMIN");
}

bool may_use_modules(const oci::Spec& spec) {
  return has_capability(spec, "CAP_NET_ADMIN") || has_capability(spec, "CAP_SYS_ADMIN");
}

void make_room_for_docker(oci::Spec& guest_spec) {
  oci::Linux& linux_part = *guest_spec.linux_;
  linux_part.masked_paths.clear();
  linux_part.readonly_paths.clear();
  if (!linux_part.resources) linux_part.resources.emplace();
  linux_part.resources->devices = {{true, "a", {}, {}, "rwm"}};
  give_devices(guest_spec);
  give_cgroups(guest_spec);
  for (oci::Mount& mount : guest_spec.mounts) {
    if (mount.type != "sysfs" && mount.type != "cgroup" && mount.type != "cgroup2") continue;
    std::erase(mount.options, "ro");
  }
  // As on any host, nothing of what dockerd and its containerd run with stays over a restart.
  guest_spec.mounts.push_back(
      {"/var/run/docker", "tmpfs", "tmpfs", {"nosuid", "nodev", "mode=0711"}, {}, {}});
  if (!guest_spec.process) return;
  const std::vector<std::string> all(kCapabilities.begin(), kCapabilities.end());
  if (!guest_spec.process->capabilities) guest_spec.process->capabilities.emplace();
  oci::Capabilities& sets = *guest_spec.process->capabilities;
  sets.bounding = all;
  // Another user gets them as anywhere: by a program that makes him root.
  if (guest_spec.process->user.uid == 0) sets.effective = sets.permitted = all;
}

}  // namespace agentvm::runtime
