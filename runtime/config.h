// The configuration file, /etc/agentvm/config.toml. One table of keys (config_keys.cpp) is the
// source of parsing, of the shipped file's text and of what `agentvm config` prints.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "vmm/accelerator.h"

namespace agentvm::runtime {

inline constexpr const char* kConfigPath = "/etc/agentvm/config.toml";

// Whether QEMU and the backends run confined (vmm/jail.h). Weakening it takes a named token.
enum class JailChoice : std::uint8_t { on, off_i_accept_unconfined_qemu };

enum class LogLevel : std::uint8_t { debug, info, warning, error };

struct VmConfig {
  std::string kernel;  // vmlinux with a PVH note
  std::string initramfs;
  std::string kernel_parameters;  // appended to ours
  std::string qemu;               // "": searched, see find_vm_programs()
  std::string virtiofsd;          // "": searched
  std::string vsock_backend;
  std::string gateway;  // of agent sandboxes: looked for when one starts
  vmm::AcceleratorChoice accelerator = vmm::AcceleratorChoice::automatic;
  std::string kvm_device;
  std::uint32_t default_vcpus = 1;
  std::uint32_t max_vcpus = 0;        // 0: as many as the host has
  std::uint32_t parallel_starts = 0;  // 0: as many as the host has CPUs
  std::uint64_t default_memory_mib = 512;
  std::uint64_t max_memory_mib = 0;       // 0: as much as the host has
  std::uint64_t memory_overhead_mib = 0;  // of the guest's kernel and agent, on top of the limit
  std::chrono::milliseconds boot_timeout{0};
  std::chrono::milliseconds request_timeout{0};
  std::chrono::milliseconds stop_timeout{0};
  friend bool operator==(const VmConfig&, const VmConfig&) = default;
};

struct SecurityConfig {
  JailChoice jail = JailChoice::on;
  std::vector<std::string> allowed_annotations;  // exact names, all below "io.agentvm."
  bool allow_vm_section = false;
  friend bool operator==(const SecurityConfig&, const SecurityConfig&) = default;
};

struct CgroupConfig {
  bool enabled = true;
  std::uint64_t memory_overhead_mib = 0;  // of QEMU and the backends, on top of the VM's memory
  friend bool operator==(const CgroupConfig&, const CgroupConfig&) = default;
};

struct TemplatesConfig {
  bool enabled = true;
  bool automatic = true;  // built when one is missing
  std::string directory;
  std::uint32_t keep = 0;  // how many, at most, the last used ones
  friend bool operator==(const TemplatesConfig&, const TemplatesConfig&) = default;
};

struct PoolConfig {
  std::uint32_t size = 0;  // VMs that wait
  std::string directory;
  friend bool operator==(const PoolConfig&, const PoolConfig&) = default;
};

// A container's own disk (runtime/disks/).
struct DiskConfig {
  std::uint64_t size_mib = 0;
  std::string directory;
  friend bool operator==(const DiskConfig&, const DiskConfig&) = default;
};

// Which containers have a Docker of their own, started by the agent.
enum class DockerInside : std::uint8_t {
  asked,  // those with the annotation
  found,  // and those whose image has a dockerd
};

struct DockerConfig {
  DockerInside inside = DockerInside::asked;
  friend bool operator==(const DockerConfig&, const DockerConfig&) = default;
};

// Agent sandboxes: containers whose network is bound to a policy (runtime/egress/).
struct SandboxConfig {
  std::string directory;      // what is kept of each, below its name
  std::string run_directory;  // and what is gone with a reboot
  friend bool operator==(const SandboxConfig&, const SandboxConfig&) = default;
};

struct LogConfig {
  LogLevel level = LogLevel::info;
  friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

struct Config {
  VmConfig vm;
  SecurityConfig security;
  CgroupConfig cgroup;
  TemplatesConfig templates;
  PoolConfig pool;
  DiskConfig disk;
  DockerConfig docker;
  SandboxConfig sandbox;
  LogConfig log;
  // Where each value came from, by its dotted name ("vm.kernel"): "default", "<file>:<line>", or
  // what config_for() (runtime/vm_size.h) took it from. Every key of the table is in it.
  std::map<std::string, std::string> origins;
  friend bool operator==(const Config&, const Config&) = default;
};

// Every key at its default.
[[nodiscard]] Config make_default_config();

// `text` as a configuration; `name` stands for the file in errors and origins. invalid_argument,
// as "<name>:<line>:<column>: <key>: <what is wrong>", for TOML that does not parse, an unknown
// key or table, a wrong type, a value out of range. At most 64 KiB.
[[nodiscard]] Result<Config> parse_config(std::string_view text, const std::string& name);

// Reads `path`. A file that is not there is an error only with `must_exist`; otherwise it means
// all defaults. A file that somebody other than root or the caller owns, or that group or others
// may write, is refused: it names programs that run as the caller.
[[nodiscard]] Result<Config> load_config(const std::string& path, bool must_exist);

// A line per key: `vm.kernel = "/usr/…"  # default`. Ends with a newline.
[[nodiscard]] std::string describe_config(const Config& config);

// The text of runtime/config.toml: every key with its comment, commented out at its default.
[[nodiscard]] std::string make_shipped_config();

// The host's programs and files that a VM needs, found and readable.
struct VmPrograms {
  std::string qemu;
  std::string virtiofsd;
  std::string vsock_backend;
  std::string kernel;
  std::string initramfs;
};

// unavailable, with what to install or which key to set, when one of them is missing. The words
// are chosen so that Docker does not take them for a missing command of the container.
[[nodiscard]] Result<VmPrograms> find_vm_programs(const Config& config);

// The gateway of agent sandboxes, which only they need.
[[nodiscard]] Result<std::string> find_gateway(const Config& config);

}  // namespace agentvm::runtime
