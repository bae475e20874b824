// plan_share(): what the host shares and what the guest is told.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>

#include "oci/base/try.h"
#include "oci/mount_options.h"
#include "runtime/guest_devices.h"
#include "runtime/guest_spec.h"
#include "runtime/share_source.h"
#include "runtime/vm_size.h"

namespace agentvm::runtime {

namespace {

namespace fs = std::filesystem;

constexpr const char* kShm = "/dev/shm";

std::string absolute_from(const std::string& bundle, const std::string& path) {
  return (fs::path(bundle) / path).lexically_normal().string();
}

// A path of the container without "." and "..", as its root would resolve them.
std::string clean(const std::string& path) {
  std::string text = fs::path("/" + path).lexically_normal().string();
  const std::size_t start = text.find_first_not_of('/');
  text = start == std::string::npos ? "/" : text.substr(start - 1);
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

bool is_bind(const oci::Mount& mount) {
  const auto options = oci::parse_mount_options(mount.options);
  return mount.type == "bind" || (options && options->bind());
}

bool is_below(const std::string& path, const std::string& directory) {
  return directory == "/" || path == directory || path.starts_with(directory + "/");
}

Result<SharedSource> plan_root(const oci::Spec& spec, const std::string& bundle) {
  SharedSource root;
  root.name = "rootfs";
  root.source = absolute_from(bundle, spec.root->path);
  const OpenedSource opened = TRY(open_share_source(root.source), "root of the container");
  if (!opened.directory) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("root of the container: \"{}\" is a file; it must be the directory of "
                            "the root file system",
                            root.source));
  }
  // The guest makes its mount points before it makes the root read-only; on the host that is done
  // ahead (SharePlan::mount_points), except for the device nodes of a /dev inside the root.
  const auto is_dev = [](const oci::Mount& mount) { return clean(mount.destination) == "/dev"; };
  root.read_only = spec.root->readonly && std::ranges::any_of(spec.mounts, is_dev);
  return root;
}

Result<SharedSource> plan_bind(const oci::Mount& mount, const oci::MountOptions& options,
                               std::size_t number, const std::string& bundle) {
  SharedSource shared;
  shared.name = fmt::format("mounts/{}", number);
  shared.source = absolute_from(bundle, mount.source);
  shared.directory = TRY(open_share_source(shared.source)).directory;
  shared.recursive = options.recursive_bind();
  shared.read_only = options.read_only() || (options.recursive_set & MOUNT_ATTR_RDONLY) != 0;
  for (const unsigned long propagation : options.propagation) {
    shared.propagation = (propagation & (MS_PRIVATE | MS_UNBINDABLE)) != 0 ? Propagation::private_
                                                                           : Propagation::slave;
  }
  return shared;
}

bool is_same_file(const std::string& path, const std::string& other) {
  struct stat one{};
  struct stat two{};
  return ::stat(path.c_str(), &one) == 0 && ::stat(other.c_str(), &two) == 0 &&
         one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

// Whether the mount is the pod's /dev/shm, by the directory that it names on the host.
bool is_pod_shm(const oci::Mount& mount, const std::string& bundle, const std::string& pod_shm) {
  return !pod_shm.empty() && clean(mount.destination) == kShm &&
         is_same_file(absolute_from(bundle, mount.source), pod_shm);
}

Result<std::uint64_t> bytes_of(const std::string& directory) {
  struct statfs filesystem{};
  if (::statfs(directory.c_str(), &filesystem) != 0) {
    return fail_errno(errno, fmt::format("\"{}\"", directory));
  }
  return static_cast<std::uint64_t>(filesystem.f_blocks) *
         static_cast<std::uint64_t>(filesystem.f_bsize);
}

// Binds get their source in the guest; everything else is the guest's to mount.
Result<void> plan_mounts(SharePlan& plan, const std::string& bundle, const SharePlace& place) {
  std::size_t number = 0;
  for (oci::Mount& mount : plan.guest_spec.mounts) {
    const auto options =
        TRY(oci::parse_mount_options(mount.options), "mount '{}'", mount.destination);
    const bool bind = mount.type == "bind" || options.bind();
    if (!bind || (options.flags & MS_REMOUNT) != 0) continue;
    if (is_pod_shm(mount, bundle, place.pod_shm)) {
      plan.pod_shm_bytes = TRY(bytes_of(place.pod_shm), "mount '{}'", mount.destination);
      mount.source = kGuestPodShm;
      continue;
    }
    auto shared = TRY(plan_bind(mount, options, number, bundle), "mount '{}'", mount.destination);
    ++number;
    mount.source = fmt::format("{}/{}", place.guest_directory, shared.name);
    plan.sources.push_back(std::move(shared));
  }
  return {};
}

// What the guest will mount on or enter directly in the root; what lies below another mount is
// made there.
void plan_mount_points(SharePlan& plan, const SharePlace& where) {
  if (!plan.sources.front().read_only) return;
  const auto& mounts = plan.guest_spec.mounts;
  const auto in_root = [&](const std::string& path) {
    return std::ranges::none_of(mounts, [&](const oci::Mount& other) {
      const std::string place = clean(other.destination);
      return place != path && place != "/" && is_below(path, place);
    });
  };
  for (const oci::Mount& mount : mounts) {
    const std::string path = clean(mount.destination);
    const auto shared = std::ranges::find_if(plan.sources, [&](const SharedSource& source) {
      return mount.source == fmt::format("{}/{}", where.guest_directory, source.name);
    });
    const bool directory = shared == plan.sources.end() || shared->directory;
    if (path != "/" && in_root(path)) plan.mount_points.push_back({path, directory});
  }
  if (!plan.guest_spec.process) return;
  const std::string cwd = clean(plan.guest_spec.process->cwd);
  const bool on_mount = std::ranges::any_of(
      mounts, [&](const oci::Mount& mount) { return is_below(cwd, clean(mount.destination)); });
  if (!on_mount) plan.mount_points.push_back({cwd, true});
}

// The host stands in for the container in a network namespace that is given by path; the host's
// own is what check_supported() cannot see.
Result<void> check_network_path(const oci::Linux& linux_part) {
  for (const oci::Namespace& entry : linux_part.namespaces) {
    if (entry.type != oci::NamespaceType::network || entry.path.empty()) continue;
    struct stat theirs{};
    struct stat ours{};
    if (::stat(entry.path.c_str(), &theirs) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) {
        return fail(ErrorKind::invalid_argument,
                    fmt::format("network namespace \"{}\" does not exist", entry.path));
      }
      return fail_errno(errno, fmt::format("network namespace \"{}\"", entry.path));
    }
    if (::stat("/proc/self/ns/net", &ours) == 0 && theirs.st_ino == ours.st_ino &&
        theirs.st_dev == ours.st_dev) {
      return fail(ErrorKind::invalid_argument,
                  fmt::format("network namespace \"{}\" is the host's (--network host), which "
                              "cannot be shared with a VM: give the container a network of its own "
                              "and publish the ports it needs",
                              entry.path));
    }
  }
  return {};
}

void adapt_devices(SharePlan& plan) {
  std::string left_out;
  std::erase_if(plan.guest_spec.linux_->devices, [&](const oci::Device& device) {
    if (guest_has_device(device)) return false;
    left_out.append(left_out.empty() ? "" : ", ").append(device.path);
    return true;
  });
  if (left_out.empty()) return;
  plan.notes.push_back("devices of the host are left out: " + left_out);
}

void adapt_linux(SharePlan& plan) {
  oci::Linux& linux_part = *plan.guest_spec.linux_;
  // The guest's only network is the VM's own: its NICs are in the guest's first namespace.
  // A time namespace without offsets, which engines ask for by habit, shows nothing else.
  const bool own_time = !linux_part.time_offsets.empty();
  std::erase_if(linux_part.namespaces, [own_time](const oci::Namespace& entry) {
    return entry.type == oci::NamespaceType::network ||
           (entry.type == oci::NamespaceType::time && !own_time);
  });
  linux_part.cgroups_path.clear();
  adapt_devices(plan);
  if (linux_part.resources) {
    GuestResources resources = plan_guest_resources(*linux_part.resources);
    linux_part.resources = std::move(resources.resources);
    std::ranges::move(resources.notes, std::back_inserter(plan.notes));
  }
  if (!linux_part.mount_label.empty()) {
    plan.notes.emplace_back("linux.mountLabel has no effect: the guest has no SELinux");
    linux_part.mount_label.clear();
  }
}

// The kernel raises none that is not permitted and inheritable (capabilities(7)); runc passes such
// a one over in silence, and `runc spec` before 1.2 writes some.
void adapt_ambient(GuestProcess& plan) {
  if (!plan.process.capabilities) return;
  const oci::Capabilities& sets = *plan.process.capabilities;
  const auto has = [](const std::vector<std::string>& set, const std::string& name) {
    return std::ranges::find(set, name) != set.end();
  };
  std::string left_out;
  std::erase_if(plan.process.capabilities->ambient, [&](const std::string& name) {
    if (has(sets.permitted, name) && has(sets.inheritable, name)) return false;
    left_out.append(left_out.empty() ? "" : ", ").append(name);
    return true;
  });
  if (left_out.empty()) return;
  plan.notes.push_back(
      fmt::format("ambient capabilities {} have no effect: they are not both permitted and "
                  "inheritable",
                  left_out));
}

}  // namespace

GuestProcess plan_guest_process(const oci::Process& process) {
  GuestProcess plan{process, {}};
  const auto leave_out = [&plan](std::string& setting, std::string_view what) {
    if (setting.empty()) return;
    plan.notes.push_back(
        fmt::format("{} '{}' has no effect: the VM is what confines the container", what, setting));
    setting.clear();
  };
  leave_out(plan.process.apparmor_profile, "AppArmor profile");
  leave_out(plan.process.selinux_label, "SELinux label");
  adapt_ambient(plan);
  return plan;
}

std::string find_pod_shm(const oci::Spec& spec, const std::string& bundle) {
  for (const oci::Mount& mount : spec.mounts) {
    if (clean(mount.destination) != kShm || !is_bind(mount)) continue;
    const std::string source = absolute_from(bundle, mount.source);
    struct statfs filesystem{};
    const bool tmpfs =
        ::statfs(source.c_str(), &filesystem) == 0 && filesystem.f_type == TMPFS_MAGIC;
    return tmpfs && !is_same_file(source, kShm) ? source : "";
  }
  return "";
}

Result<SharePlan> plan_share(const oci::Spec& spec, const std::string& bundle,
                             const SharePlace& place) {
  if (!spec.root || !spec.linux_) {
    return fail(ErrorKind::internal, "the bundle was not checked before it is shared");
  }
  SharePlan plan;
  plan.guest_spec = spec;
  plan.sources.push_back(TRY(plan_root(spec, bundle)));
  plan.guest_spec.root->path =
      fmt::format("{}/{}", place.guest_directory, plan.sources.front().name);
  TRY(plan_mounts(plan, bundle, place));
  plan_mount_points(plan, place);
  TRY(check_network_path(*spec.linux_));
  adapt_linux(plan);
  if (spec.process) {
    GuestProcess process = plan_guest_process(*spec.process);
    plan.guest_spec.process = std::move(process.process);
    std::ranges::move(process.notes, std::back_inserter(plan.notes));
  }
  plan.guest_spec.hooks = oci::Hooks{};
  plan.guest_spec.hooks.start_container = spec.hooks.start_container;
  plan.guest_spec.vm.reset();
  plan.guest_spec.linux_->seccomp.reset();  // the guest gets it compiled
  std::erase_if(plan.guest_spec.annotations,
                [](const auto& entry) { return entry.first.starts_with(kAnnotationPrefix); });
  return plan;
}

}  // namespace agentvm::runtime
