#include "oci/default_spec.h"

#include "oci/spec_parser.h"

namespace agentvm::oci {

namespace {

Process default_process() {
  Capabilities caps;
  caps.bounding = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  caps.effective = caps.bounding;
  caps.permitted = caps.bounding;
  // No ambient ones: with them a program of an unprivileged user would have them without asking.

  Process process;
  process.terminal = true;
  process.args = {"sh"};
  process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"};
  process.cwd = "/";
  process.capabilities = caps;
  process.rlimits = {{.type = "RLIMIT_NOFILE", .hard = 1024, .soft = 1024}};
  process.no_new_privileges = true;
  return process;
}

Mount mount(std::string destination, std::string type, std::string source,
            std::vector<std::string> options) {
  Mount out;
  out.destination = std::move(destination);
  out.type = std::move(type);
  out.source = std::move(source);
  out.options = std::move(options);
  return out;
}

std::vector<Mount> default_mounts() {
  return {
      mount("/proc", "proc", "proc", {}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}),
  };
}

Linux default_linux() {
  DeviceRule deny_all;
  deny_all.access = "rwm";

  Linux out;
  out.resources.emplace().devices = {deny_all};
  for (const NamespaceType type :
       {NamespaceType::pid, NamespaceType::network, NamespaceType::ipc, NamespaceType::uts,
        NamespaceType::mount, NamespaceType::cgroup}) {
    out.namespaces.push_back({.type = type, .path = {}});
  }
  out.masked_paths = {"/proc/acpi",        "/proc/asound",        "/proc/kcore",
                      "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
                      "/proc/timer_stats", "/proc/sched_debug",   "/sys/firmware",
                      "/proc/scsi"};
  out.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  return out;
}

}  // namespace

Spec default_spec() {
  Spec spec;
  spec.oci_version = kOciVersionMax;
  spec.process = default_process();
  spec.root = Root{.path = "rootfs", .readonly = true};
  spec.hostname = "agentvm";
  spec.mounts = default_mounts();
  spec.linux_ = default_linux();
  return spec;
}

}  // namespace agentvm::oci
