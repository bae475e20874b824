#include "runtime/config_keys.h"

#include <array>
#include <utility>

#include "runtime/disks/plan.h"
#include "runtime/vm_size.h"

#if __has_include("agentvm_paths.h")
#include "agentvm_paths.h"
#endif
#ifndef AGENTVM_LIBEXECDIR
#define AGENTVM_LIBEXECDIR "/usr/local/libexec/agentvm"
#endif
#ifndef AGENTVM_DATADIR
#define AGENTVM_DATADIR "/usr/local/share/agentvm"
#endif

namespace agentvm::runtime {

namespace {

using Names = std::vector<std::string>;
using std::chrono::milliseconds;

constexpr std::uint64_t kMaxTimeoutMs = 3'600'000;

// The words of the closed lists, in the order of their enumerators.
constexpr std::array<std::string_view, 3> kAccelerators{"auto", "kvm", "tcg"};
constexpr std::array<std::string_view, 2> kJails{"on", "off-i-accept-unconfined-qemu"};
constexpr std::array<std::string_view, 2> kDockers{"asked", "found"};
constexpr std::array<std::string_view, 4> kLevels{"debug", "info", "warning", "error"};

template <class Enum, std::size_t n>
Enum from_word(const std::array<std::string_view, n>& words, const ConfigValue& value) {
  const auto& word = std::get<std::string>(value);
  for (std::size_t i = 0; i < n; ++i) {
    if (words[i] == word) return static_cast<Enum>(i);
  }
  return Enum{};  // not reached: the reader checks ConfigKey::words first
}

template <class Enum, std::size_t n>
ConfigValue to_word(const std::array<std::string_view, n>& words, Enum value) {
  return std::string(words[static_cast<std::size_t>(value)]);
}

// Set and get of a field, by its table and name in Config.
#define FIELD(table, field)                      \
  [](Config& config, const ConfigValue& value) { \
    using Field = decltype(config.table.field);  \
    config.table.field = std::get<Field>(value); \
  },                                             \
      [](const Config& config) { return ConfigValue(config.table.field); }
#define NUMBER(table, field)                                                 \
  [](Config& config, const ConfigValue& value) {                             \
    using Field = decltype(config.table.field);                              \
    config.table.field = static_cast<Field>(std::get<std::uint64_t>(value)); \
  },                                                                         \
      [](const Config& config) { return ConfigValue(std::uint64_t{config.table.field}); }
#define TIMEOUT(table, field)                                                       \
  [](Config& config, const ConfigValue& value) {                                    \
    config.table.field = milliseconds(std::get<std::uint64_t>(value));              \
  },                                                                                \
      [](const Config& config) {                                                    \
        return ConfigValue(static_cast<std::uint64_t>(config.table.field.count())); \
      }
#define WORD(table, field, words)                        \
  [](Config& config, const ConfigValue& value) {         \
    using Field = decltype(config.table.field);          \
    config.table.field = from_word<Field>(words, value); \
  },                                                     \
      [](const Config& config) { return to_word(words, config.table.field); }

// As ConfigKey::words wants them.
template <std::size_t n>
std::vector<std::string_view> list(const std::array<std::string_view, n>& words) {
  return {words.begin(), words.end()};
}

std::uint64_t number(std::uint64_t value) {
  return value;
}

void add_vm_files(std::vector<ConfigKey>& keys, const InstallDirs& dirs) {
  keys.push_back({"vm", "kernel", "The guest's kernel: an uncompressed vmlinux with a PVH note.",
                  dirs.data + "/vmlinux", FIELD(vm, kernel)});
  keys.push_back({"vm", "initramfs", "The guest's initramfs: agentvm's agent and kernel modules.",
                  dirs.data + "/initramfs.cpio", FIELD(vm, initramfs)});
  keys.push_back({"vm", "kernel_parameters",
                  "Appended to the guest's kernel command line, e.g. \"loglevel=7\".",
                  std::string(), FIELD(vm, kernel_parameters)});
  keys.push_back({"vm", "qemu", "qemu-system-x86_64. Empty: searched in the usual places.",
                  std::string(), FIELD(vm, qemu)});
  keys.push_back({"vm", "virtiofsd",
                  "virtiofsd, the C one (Debian 12) or the Rust one (Debian 13).\n"
                  "Empty: searched in the usual places.",
                  std::string(), FIELD(vm, virtiofsd)});
  keys.push_back({"vm", "vsock_backend", "agentvm's vhost-user vsock device.",
                  dirs.libexec + "/agentvm-vsock", FIELD(vm, vsock_backend)});
  keys.push_back({"vm", "gateway", "The gateway of agent sandboxes.",
                  dirs.libexec + "/agentvm-gateway", FIELD(vm, gateway)});
  keys.push_back({"vm", "accelerator",
                  "auto: KVM where a probe guest proves that it works, else TCG (software).\n"
                  "kvm: fail where it does not work. tcg: always software.",
                  std::string("auto"), WORD(vm, accelerator, kAccelerators), 0, 0,
                  list(kAccelerators)});
  keys.push_back(
      {"vm", "kvm_device", "The device of KVM.", std::string("/dev/kvm"), FIELD(vm, kvm_device)});
}

void add_vm_sizes(std::vector<ConfigKey>& keys) {
  keys.push_back({"vm", "default_vcpus", "vCPUs of a container that has no CPU limit.", number(1),
                  NUMBER(vm, default_vcpus), 1, 255});
  keys.push_back({"vm", "max_vcpus",
                  "vCPUs of any VM at most, when it starts and when `agentvm update` makes it\n"
                  "larger. 0: as many as the host has.",
                  number(0), NUMBER(vm, max_vcpus), 0, 255});
  keys.push_back({"vm", "parallel_starts",
                  "VMs that start at the same time; others wait for their turn. 0: as many as the\n"
                  "host has CPUs.",
                  number(0), NUMBER(vm, parallel_starts), 0, 1024});
  keys.push_back({"vm", "default_memory_mib", "Memory of a container that has no memory limit.",
                  number(512), NUMBER(vm, default_memory_mib), kMinMemoryMib, kMaxMemoryMib});
  keys.push_back({"vm", "max_memory_mib",
                  "Memory of any VM at most, when it starts and when `agentvm update` makes it\n"
                  "larger. 0: as much as the host has.",
                  number(0), NUMBER(vm, max_memory_mib), 0, kMaxMemoryMib});
  keys.push_back({"vm", "memory_overhead_mib",
                  "What the guest's kernel and agent need: a container with a memory limit gets\n"
                  "a VM of its limit plus this.",
                  number(128), NUMBER(vm, memory_overhead_mib), 0, kMaxMemoryMib});
}

void add_vm_timeouts(std::vector<ConfigKey>& keys) {
  keys.push_back({"vm", "boot_timeout_ms", "From the start of a VM to its agent's first word.",
                  number(60'000), TIMEOUT(vm, boot_timeout), 100, kMaxTimeoutMs});
  keys.push_back({"vm", "request_timeout_ms", "For the agent's answer to one request.",
                  number(30'000), TIMEOUT(vm, request_timeout), 100, kMaxTimeoutMs});
  keys.push_back({"vm", "stop_timeout_ms",
                  "For a VM to end by itself before its processes are killed.", number(5'000),
                  TIMEOUT(vm, stop_timeout), 0, kMaxTimeoutMs});
}

void add_security(std::vector<ConfigKey>& keys) {
  keys.push_back({"security", "jail",
                  "on: QEMU and its backends run without privileges in namespaces of their own.\n"
                  "off-i-accept-unconfined-qemu: they run as root; for debugging alone.",
                  std::string("on"), WORD(security, jail, kJails), 0, 0, list(kJails)});
  keys.push_back({"security",
                  "allowed_annotations",
                  "Annotations by which a bundle may choose settings of its own VM, e.g.\n"
                  "[\"io.agentvm.vcpus\", \"io.agentvm.memory_mib\"]. Others are refused.",
                  Names(),
                  FIELD(security, allowed_annotations),
                  0,
                  0,
                  {},
                  "io.agentvm."});
  keys.push_back({"security", "allow_vm_section",
                  "Whether the \"vm\" section of a bundle may name its kernel, initramfs and\n"
                  "hypervisor. Whoever writes bundles then runs programs as root on this host.",
                  false, FIELD(security, allow_vm_section)});
}

void add_cgroup(std::vector<ConfigKey>& keys) {
  keys.push_back({"cgroup", "enabled",
                  "Whether the VM's processes are put into the container's cgroup of the host.",
                  true, FIELD(cgroup, enabled)});
  keys.push_back({"cgroup", "memory_overhead_mib",
                  "What QEMU and its backends need besides the VM's memory: the cgroup's memory\n"
                  "limit is the sum.",
                  number(512), NUMBER(cgroup, memory_overhead_mib), 0, kMaxMemoryMib});
}

void add_templates(std::vector<ConfigKey>& keys) {
  keys.push_back({"templates", "enabled",
                  "Whether VMs are restored from templates, which takes a fraction of a boot.",
                  true, FIELD(templates, enabled)});
  keys.push_back(
      {"templates", "automatic",
       "Whether a template that is missing is built in the background, while the VM that\n"
       "misses it boots. false: only `agentvm template create` makes them.",
       true, FIELD(templates, automatic)});
  keys.push_back({"templates", "directory",
                  "Where templates are kept; for root alone. Each takes some 50 MB.",
                  std::string("/var/cache/agentvm/templates"), FIELD(templates, directory)});
  keys.push_back({"templates", "keep",
                  "How many are kept, the last used ones: there is one for each size of VM.",
                  number(8), NUMBER(templates, keep), 1, 1000});
}

void add_pool(std::vector<ConfigKey>& keys) {
  keys.push_back({"pool", "size",
                  "How many VMs of the default size wait for containers, restored and warm, to\n"
                  "be taken by the next creates. Each takes the memory of an idle container.\n"
                  "After a change to 0: `agentvm pool drain`.",
                  number(0), NUMBER(pool, size), 0, 1000});
  keys.push_back({"pool", "directory",
                  "Where they wait: on the file system of the containers' state (--root).",
                  std::string("/run/agentvm-pool"), FIELD(pool, directory)});
}

void add_disk(std::vector<ConfigKey>& keys) {
  keys.push_back(
      {"disk", "size_mib",
       "Size of a container's own disk, which takes no more of the host than is written\n"
       "to it. For containers with a Docker inside, and those that ask for one.",
       number(65'536), NUMBER(disk, size_mib), kMinDiskMib, kMaxDiskMib});
  keys.push_back(
      {"disk", "directory",
       "Where empty disks to copy are kept, and the disks of containers whose root is no\n"
       "overlay; those of others are beside their writable layer.",
       std::string("/var/lib/agentvm/disks"), FIELD(disk, directory)});
  keys.push_back(
      {"docker", "inside",
       "Which containers have a Docker of their own in their VM, started when it is used.\n"
       "asked: those with the annotation io.agentvm.docker=true.\n"
       "found: those whose image has a dockerd, too.",
       std::string("asked"), WORD(docker, inside, kDockers), 0, 0, list(kDockers)});
}

void add_sandbox(std::vector<ConfigKey>& keys) {
  keys.push_back({"sandbox", "directory",
                  "Where the settings, certificates and decision logs of agent sandboxes are kept;\n"
                  "for root alone.",
                  std::string("/var/lib/agentvm/sandboxes"), FIELD(sandbox, directory)});
  keys.push_back({"sandbox", "run_directory",
                  "Where the secrets and control sockets of agent sandboxes are, on a tmpfs.",
                  std::string("/run/agentvm-sandboxes"), FIELD(sandbox, run_directory)});
}

}  // namespace

std::string ConfigKey::dotted() const {
  return std::string(table).append(".").append(name);
}

InstallDirs install_dirs() {
  return {AGENTVM_LIBEXECDIR, AGENTVM_DATADIR};
}

std::vector<ConfigKey> config_keys(const InstallDirs& dirs) {
  std::vector<ConfigKey> keys;
  add_vm_files(keys, dirs);
  add_vm_sizes(keys);
  add_vm_timeouts(keys);
  add_security(keys);
  add_cgroup(keys);
  add_templates(keys);
  add_pool(keys);
  add_disk(keys);
  add_sandbox(keys);
  keys.push_back({"log", "level", "The least level that is logged; --debug means debug.",
                  std::string("info"), WORD(log, level, kLevels), 0, 0, list(kLevels)});
  return keys;
}

}  // namespace agentvm::runtime
