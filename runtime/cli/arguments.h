// The command line as values, flag for flag as runc's (its man pages are the reference); CLI11
// stays in the .cpp files. A verb's options are one struct, and what was typed is one variant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "runtime/install/install.h"

namespace agentvm::runtime::cli {

struct Globals {
  std::string root = "/run/agentvm";
  std::string log_path;  // empty: stderr
  std::string log_format = "text";
  bool debug = false;
  bool systemd_cgroup = false;
  std::string config_path;  // empty: the default, which may be missing
};

struct CreateOptions {
  std::string id;
  std::string bundle = ".";
  std::string console_socket;
  std::string pidfd_socket;
  std::string pid_file;
  bool no_pivot = false;        // accepted: the guest always pivots
  bool no_new_keyring = false;  // accepted: the guest's keyring is its own
  std::int32_t preserve_fds = 0;
};

struct RunOptions {
  CreateOptions create;
  bool detach = false;
  bool keep = false;
  bool no_subreaper = false;
  bool timings = false;
};

struct StartOptions {
  std::string id;
};
struct StateOptions {
  std::string id;
  bool verbose = false;
};
struct LogsOptions {
  std::string id;
  bool docker = false;
};
struct KillOptions {
  std::string id;
  std::string signal = "SIGTERM";
  bool all = false;
};
struct DeleteOptions {
  std::string id;
  bool force = false;
};
struct PauseOptions {
  std::string id;
};
struct ResumeOptions {
  std::string id;
};

struct ExecOptions {
  std::string id;
  std::vector<std::string> args;
  std::string console_socket;
  std::string pidfd_socket;
  std::string cwd;
  std::vector<std::string> env;
  bool tty = false;
  std::string user;  // UID[:GID]
  std::vector<std::uint32_t> additional_gids;
  std::string process_file;
  bool detach = false;
  std::string pid_file;
  std::string process_label;
  std::string apparmor;
  bool no_new_privs = false;
  std::vector<std::string> capabilities;
  std::int32_t preserve_fds = 0;
  std::string cgroup;
  bool ignore_paused = false;
};

struct PsOptions {
  std::string id;
  std::string format = "table";
  std::vector<std::string> ps_args;
};
struct ListOptions {
  std::string format = "table";
  bool quiet = false;
};
struct EventsOptions {
  std::string id;
  std::string interval = "5s";
  bool stats_once = false;
};

// What `update` was told, besides --resources; unset flags leave a limit as it is.
struct UpdateOptions {
  std::string id;
  std::string resources_file;  // "-" is stdin
  std::optional<std::uint16_t> blkio_weight;
  std::optional<std::uint64_t> cpu_period;
  std::optional<std::int64_t> cpu_quota;
  std::optional<std::uint64_t> cpu_burst;
  std::optional<std::uint64_t> cpu_share;
  std::optional<std::uint64_t> cpu_rt_period;
  std::optional<std::int64_t> cpu_rt_runtime;
  std::optional<std::int64_t> cpu_idle;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::string memory;  // bytes, or with a unit: "512m"
  std::string memory_reservation;
  std::string memory_swap;
  std::string kernel_memory;
  std::string kernel_memory_tcp;
  std::optional<std::int64_t> pids_limit;
  std::string l3_cache_schema;
  std::string mem_bw_schema;
};

struct SpecOptions {
  std::string bundle = ".";
  bool rootless = false;
};
struct FeaturesOptions {};
struct CheckOptions {
  bool json = false;
};
struct ConfigOptions {
  bool defaults = false;  // print the shipped file instead of what is in force
};
enum class TemplateAction : std::uint8_t { create, list, remove, prune, verify };
struct TemplateOptions {
  TemplateAction action = TemplateAction::list;
  std::vector<std::string> names;           // remove, verify; verify: none for all
  std::optional<std::uint32_t> vcpus;       // create; the configuration's default
  std::optional<std::uint64_t> memory_mib;  // create
  bool force = false;                       // create: also when there is one
  bool all = false;                         // prune
  std::string format = "table";             // list
};
enum class PoolAction : std::uint8_t { fill, list, drain };
struct PoolOptions {
  PoolAction action = PoolAction::list;
  std::string format = "table";  // list
};
struct InstallOptions {
  EngineKind engine = EngineKind::docker;
  std::string name = "agentvm";
  std::string file;
  std::string plugins;  // docker: the client's plugin directory
  bool remove = false;
  bool dry_run = false;
};
// Verbs that are programs of their own, in libexec: what follows is theirs.
struct ProgramOptions {
  std::string program;
  std::vector<std::string> args;
};
// Verbs of runc that a microVM cannot honour: refused with a reason.
struct RefusedOptions {
  std::string verb;
};

using Command =
    std::variant<CreateOptions, RunOptions, StartOptions, StateOptions, LogsOptions, KillOptions, DeleteOptions,
                 PauseOptions, ResumeOptions, ExecOptions, PsOptions, ListOptions, EventsOptions,
                 UpdateOptions, SpecOptions, FeaturesOptions, CheckOptions, ConfigOptions,
                 TemplateOptions, PoolOptions, InstallOptions, ProgramOptions, RefusedOptions>;

struct Arguments {
  Globals globals;
  Command command;
};

// What the command line asks for; or the exit status, when help, the version or a usage error has
// been printed already.
[[nodiscard]] std::variant<Arguments, int> parse_arguments(int argc, const char* const* argv);

}  // namespace agentvm::runtime::cli
