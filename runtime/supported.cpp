// check_supported(): one function per part of the specification, one sentence per refusal.
#include <fmt/format.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "oci/base/try.h"
#include "oci/mount_options.h"
#include "runtime/disks/plan.h"
#include "runtime/egress/marker.h"
#include "runtime/guest_devices.h"
#include "runtime/guest_spec.h"
#include "runtime/timings.h"
#include "runtime/vm_size.h"

namespace agentvm::runtime {

namespace {

std::unexpected<Error> refuse(std::string what) {
  return fail(ErrorKind::invalid_argument, std::move(what));
}

struct NamespaceLaw {
  oci::NamespaceType type;
  std::string_view name;
  // Why the host's cannot be shared and what to do; empty: the container may do without its own.
  std::string_view without;
};

constexpr std::array kNamespaceLaws{
    NamespaceLaw{oci::NamespaceType::network, "network",
                 "the host's network (--network host) cannot be shared with a VM: give the "
                 "container a network of its own and publish the ports it needs"},
    NamespaceLaw{oci::NamespaceType::pid, "pid",
                 "the host's processes (--pid host) cannot be seen from a VM: give the container "
                 "a pid namespace"},
    NamespaceLaw{oci::NamespaceType::ipc, "ipc",
                 "the host's IPC objects (--ipc host) cannot be shared with a VM: give the "
                 "container an ipc namespace"},
    NamespaceLaw{oci::NamespaceType::uts, "uts",
                 "the host's hostname (--uts host) cannot be shared with a VM: give the container "
                 "a uts namespace"},
    NamespaceLaw{oci::NamespaceType::mount, "mount",
                 "the host's mounts cannot be shared with a VM: give the container a mount "
                 "namespace"},
    NamespaceLaw{oci::NamespaceType::user, "user", ""},
    NamespaceLaw{oci::NamespaceType::cgroup, "cgroup", ""},
    NamespaceLaw{oci::NamespaceType::time, "time", ""},
};

Result<void> check_namespaces(const oci::Linux& linux_part) {
  for (const NamespaceLaw& law : kNamespaceLaws) {
    const auto found = std::ranges::find(linux_part.namespaces, law.type, &oci::Namespace::type);
    if (found == linux_part.namespaces.end()) {
      if (law.without.empty()) continue;
      return refuse(fmt::format("/linux/namespaces: no '{}': {}", law.name, law.without));
    }
    // The host stands in for the guest in a network namespace; the others are of another kernel.
    if (!found->path.empty() && law.type != oci::NamespaceType::network) {
      return refuse(
          fmt::format("/linux/namespaces: '{}' with path '{}': a VM cannot join a "
                      "namespace of this host; leave the path out",
                      law.name, found->path));
    }
  }
  return {};
}

Result<void> check_devices(const oci::Spec& spec) {
  if (allows_every_device(spec)) return {};  // left out, with a note: see plan_share()
  for (const oci::Device& device : spec.linux_->devices) {
    if (guest_has_device(device)) continue;
    return refuse(
        fmt::format("/linux/devices: '{}' ({} {}:{}) is a device of this host, which a "
                    "VM does not have; leave it out (--device)",
                    device.path, device.type, device.major, device.minor));
  }
  return {};
}

// Those that a guest makes itself. Others would look for a disk, a server or layers of the host.
constexpr std::array<std::string_view, 14> kGuestFilesystems{
    "binfmt_misc", "bpf",  "cgroup", "cgroup2",    "configfs", "debugfs", "devpts",
    "mqueue",      "proc", "ramfs",  "securityfs", "sysfs",    "tmpfs",   "tracefs"};

Result<void> check_mount(const oci::Mount& mount) {
  const auto wrong = [&](std::string_view why) {
    return refuse(fmt::format("mount '{}': {}", mount.destination, why));
  };
  const oci::MountOptions options =
      TRY(oci::parse_mount_options(mount.options), "mount '{}'", mount.destination);
  const bool bind = mount.type == "bind" || options.bind();
  if (!bind && !mount.type.empty() && mount.type != "none" &&
      std::ranges::find(kGuestFilesystems, mount.type) == kGuestFilesystems.end()) {
    return wrong(
        fmt::format("file system '{}' cannot be mounted from inside a VM; mount it on the "
                    "host and bind it",
                    mount.type));
  }
  for (const unsigned long propagation : options.propagation) {
    if (bind && (propagation & MS_SHARED) != 0) {
      return wrong(
          "propagation 'shared' would show the container's mounts on the host, which a VM "
          "cannot; use rslave or rprivate");
    }
  }
  return {};
}

Result<void> check_linux(const oci::Spec& spec) {
  if (!spec.linux_) return refuse("/linux is missing: agentvm runs Linux containers");
  const oci::Linux& linux_part = *spec.linux_;
  TRY(check_namespaces(linux_part));
  TRY(check_devices(spec));
  if (linux_part.seccomp && !linux_part.seccomp->listener_path.empty()) {
    return refuse(
        "/linux/seccomp/listenerPath: an agent on the host cannot answer for system "
        "calls of another kernel; leave it out");
  }
  if (linux_part.intel_rdt) {
    return refuse(
        "/linux/intelRdt: cache and memory bandwidth classes are not set for VMs; leave "
        "it out");
  }
  return {};
}

bool is_known_annotation(std::string_view name) {
  return name == kVcpusAnnotation || name == kMemoryAnnotation || name == kAcceleratorAnnotation ||
         name == kKernelParametersAnnotation || name == kDiskSizeAnnotation;
}

Result<void> check_annotations(const oci::Spec& spec, const Config& config) {
  for (const auto& [name, value] : spec.annotations) {
    if (!name.starts_with(kAnnotationPrefix) || name == kTimingsAnnotation ||
        name == kSandboxAnnotation || is_free_annotation(name)) {
      continue;
    }
    if (!is_known_annotation(name)) {
      return refuse(fmt::format("annotation '{}' is none that agentvm knows", name));
    }
    if (std::ranges::find(config.security.allowed_annotations, name) ==
        config.security.allowed_annotations.end()) {
      return refuse(
          fmt::format("annotation '{}' is not allowed on this host: add it to "
                      "security.allowed_annotations in {}",
                      name, kConfigPath));
    }
  }
  return {};
}

Result<void> check_vm_section(const oci::Vm& vm, const Config& config) {
  if (!config.security.allow_vm_section) {
    return refuse(
        fmt::format("the bundle's \"vm\" section is not allowed on this host: leave it "
                    "out, or set security.allow_vm_section in {}",
                    kConfigPath));
  }
  if (!vm.hypervisor_parameters.empty()) {
    return refuse(
        "/vm/hypervisor/parameters: agentvm builds QEMU's command line itself; leave "
        "them out");
  }
  if (!vm.image_path.empty()) {
    return refuse("/vm/image: the container's root is the bundle's root.path; leave the image out");
  }
  return {};
}

}  // namespace

Result<void> check_supported(const oci::Spec& spec, const Config& config) {
  if (!spec.root) return refuse("/root is missing: there is no root file system to share");
  TRY(check_linux(spec));
  for (const oci::Mount& mount : spec.mounts) TRY(check_mount(mount));
  TRY(check_annotations(spec, config));
  if (spec.vm) TRY(check_vm_section(*spec.vm, config));
  return {};
}

}  // namespace agentvm::runtime
