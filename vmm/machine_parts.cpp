#include "vmm/machine_parts.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "oci/base/try.h"
#include "vmm/qemu_argv.h"
#include "vmm/virtiofsd.h"

namespace agentvm::vmm {

namespace {

// File descriptors of the parts: 0 is /dev/null, 1 and 2 the pipe for what they print, then these.
constexpr int kFirstFd = 3;

constexpr std::uint64_t kFewFiles = 4096;
// virtiofsd holds an O_PATH fd per inode that the guest remembers.
constexpr std::uint64_t kManyFiles = 1'000'000;
constexpr std::uint64_t kQemuThreads = 256;  // besides vCPUs: worker pool, RCU, control
constexpr std::uint64_t kVsockThreads = 64;

// Where QEMU finds the guest's files in its root.
constexpr const char* kKernelInJail = "guest/kernel";
constexpr const char* kInitramfsInJail = "guest/initramfs";
constexpr const char* kMemoryInJail = "guest/memory";
constexpr const char* kSocketsInJail = "sockets";

JailSpec make_part(std::string name, const MachineWires& wires, const std::vector<int>& fds) {
  JailSpec spec;
  spec.name = std::move(name);
  spec.env = {"LANG=C.UTF-8"};
  spec.fds = {JailFd{}, JailFd{wires.errors_theirs.get(), {}},
              JailFd{wires.errors_theirs.get(), {}}};
  for (const int fd : fds) spec.fds.push_back(JailFd{fd, {}});
  // A core holds the guest's memory and secrets.
  spec.limits = {{RLIMIT_CORE, 0}};
  return spec;
}

JailEntry bind_entry(std::string path, std::string source) {
  JailEntry entry;
  entry.kind = JailEntry::Kind::bind;
  entry.path = std::move(path);
  entry.source = std::move(source);
  return entry;
}

std::string real_path(const std::string& path) {
  char* found = ::realpath(path.c_str(), nullptr);
  if (found == nullptr) return path;
  std::string real = found;
  ::free(found);
  return real;
}

// The jailed QEMU is nobody that owns the file.
Result<void> check_readable_by_all(const std::string& path, std::string_view what) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return fail(ErrorKind::unavailable, fmt::format("{} '{}' is missing", what, path));
  }
  if ((status.st_mode & S_IROTH) == 0) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("{} '{}' must be readable by everybody (chmod a+r): QEMU runs under a "
                            "uid of its own",
                            what, path));
  }
  return {};
}

// The group through which a jailed QEMU may open the KVM device, if it needs one.
Result<std::vector<gid_t>> groups_for_kvm(const std::string& device) {
  struct stat status{};
  if (::stat(device.c_str(), &status) != 0 || !S_ISCHR(status.st_mode)) {
    return fail(ErrorKind::unavailable, fmt::format("'{}' is no KVM device", device));
  }
  constexpr mode_t kAll = S_IROTH | S_IWOTH;
  constexpr mode_t kGroup = S_IRGRP | S_IWGRP;
  if ((status.st_mode & kAll) == kAll) return std::vector<gid_t>{};
  // The group root would be more than the device.
  if ((status.st_mode & kGroup) == kGroup && status.st_gid != 0) {
    return std::vector<gid_t>{status.st_gid};
  }
  return fail(ErrorKind::failed_precondition,
              fmt::format("'{0}' is for root alone, and QEMU runs under a uid of its own: give it "
                          "to a group (chgrp kvm {0}; chmod 660 {0})",
                          device));
}

Result<void> show_guest_files(const MachineConfig& config, JailSpec& spec) {
  if (!config.memory_file.empty()) {
    JailEntry memory = bind_entry(kMemoryInJail, config.memory_file);
    memory.writable = true;
    spec.root->push_back(std::move(memory));
  }
  if (config.start == MachineStart::restore) return {};
  TRY(check_readable_by_all(config.kernel, "the guest kernel"));
  TRY(check_readable_by_all(config.initramfs, "the guest initramfs"));
  spec.root->push_back(bind_entry(kKernelInJail, config.kernel));
  spec.root->push_back(bind_entry(kInitramfsInJail, config.initramfs));
  return {};
}

Result<void> jail_qemu(const MachineConfig& config, pid_t monitor, JailSpec& spec) {
  spec.namespaces = all_namespaces();
  spec.filter = SyscallFilter::unprivileged;
  const uid_t uid = qemu_uid(monitor);
  spec.user = JailUser{uid, uid, {}, 0};
  spec.root = make_program_root(config.qemu);
  TRY(show_guest_files(config, spec));
  if (config.accelerator == Accelerator::kvm) {
    spec.user->groups = TRY(groups_for_kvm(config.kvm_device));
    JailEntry device = bind_entry("dev/kvm", config.kvm_device);
    device.devices = true;
    spec.root->push_back(std::move(device));
  }
  spec.limits.push_back({RLIMIT_NOFILE, kFewFiles});
  spec.limits.push_back({RLIMIT_NPROC, kQemuThreads + std::max(config.vcpus, config.most.vcpus)});
  return {};
}

void jail_vsock(const MachineConfig& config, pid_t monitor, JailSpec& spec) {
  spec.namespaces = all_namespaces();
  spec.filter = SyscallFilter::unprivileged;
  const uid_t uid = vsock_uid(monitor);
  spec.user = JailUser{uid, uid, {}, 0};
  enclose_program(spec);
  JailEntry sockets = bind_entry(kSocketsInJail, "");
  sockets.source_fd = config.socket_dir;
  spec.root->push_back(std::move(sockets));
  spec.fds.push_back(JailFd{-1, std::string("/") + kSocketsInJail});
  spec.limits.push_back({RLIMIT_NOFILE, kFewFiles});
  spec.limits.push_back({RLIMIT_NPROC, kVsockThreads});
}

}  // namespace

uid_t qemu_uid(pid_t monitor) {
  return uid_of_part(monitor, 0);
}

uid_t vsock_uid(pid_t monitor) {
  return uid_of_part(monitor, 1);
}

QemuDescription describe_qemu(const MachineConfig& config) {
  const auto seen = [&](const std::string& path, const char* in_jail) {
    return config.jail && !path.empty() ? std::string("/") + in_jail : path;
  };
  QemuDescription machine;
  machine.program = real_path(config.qemu);
  machine.start = config.start;
  machine.accelerator = config.accelerator;
  machine.vcpus = config.vcpus;
  machine.memory_mib = config.memory_mib;
  machine.max_vcpus = config.most.vcpus;
  machine.max_memory_mib = config.most.memory_mib;
  machine.memory_file = seen(config.memory_file, kMemoryInJail);
  machine.kernel = seen(config.kernel, kKernelInJail);
  machine.initramfs = seen(config.initramfs, kInitramfsInJail);
  machine.command_line =
      kernel_command_line({config.accelerator, config.tsc_khz, config.kernel_parameters});
  machine.fds.qmp = kFirstFd;
  machine.fds.console = kFirstFd + 1;
  if (config.start != MachineStart::make_template) {
    machine.fds.vsock = kFirstFd + 2;
    machine.fds.shared = kFirstFd + 3;
  }
  return machine;
}

Result<JailSpec> qemu_part(const MachineConfig& config, const MachineWires& wires, pid_t monitor) {
  std::vector<int> fds{wires.qmp_theirs.get(), wires.console_theirs.get()};
  if (config.start != MachineStart::make_template) {
    fds.push_back(wires.vsock_qemu.get());
    fds.push_back(wires.shared_qemu.get());
  }
  JailSpec spec = make_part("qemu", wires, fds);
  const QemuDescription machine = describe_qemu(config);
  spec.program = machine.program;
  if (config.jail) TRY(jail_qemu(config, monitor, spec), "jail QEMU");
  spec.argv = qemu_argv(machine);
  return spec;
}

Result<JailSpec> virtiofsd_part(const MachineConfig& config, const MachineWires& wires) {
  JailSpec spec = make_part("virtiofsd", wires, {wires.shared_listener.get()});
  spec.program = config.virtiofsd;
  spec.limits.push_back({RLIMIT_NOFILE, kManyFiles});
  VirtiofsdDescription daemon;
  daemon.program = config.virtiofsd;
  daemon.dialect = TRY(detect_virtiofsd(config.virtiofsd));
  daemon.shared_dir = config.shared_dir;
  daemon.listen_fd = kFirstFd;
  spec.argv = TRY(virtiofsd_argv(daemon));
  // It forks: only a pid namespace of its own makes sure that nothing of it outlives us.
  spec.namespaces = CLONE_NEWPID | CLONE_NEWNS;
  if (config.jail) {
    spec.namespaces = all_namespaces();
    spec.filter = SyscallFilter::host_control;
    spec.user = JailUser{0, 0, {}, virtiofsd_capabilities()};
  }
  return spec;
}

Result<JailSpec> vsock_part(const MachineConfig& config, const MachineWires& wires, pid_t monitor) {
  JailSpec spec =
      make_part("vsock backend", wires, {wires.vsock_backend.get(), wires.vsock_listener.get()});
  spec.program = real_path(config.vsock_backend);
  if (config.jail) {
    jail_vsock(config, monitor, spec);
  } else {
    spec.fds.push_back(JailFd{config.socket_dir, {}});
  }
  spec.argv = {spec.program,
               "--vhost-user-fd",
               std::to_string(kFirstFd),
               "--listen-fd",
               std::to_string(kFirstFd + 1),
               "--socket-dir-fd",
               std::to_string(kFirstFd + 2),
               "--guest-cid",
               "3"};
  return spec;
}

}  // namespace agentvm::vmm
