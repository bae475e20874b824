// Runs a program confined. What it may see and do is one value, JailSpec; whatever it does not name
// the program does not get. The program dies with the calling process, and everything that it
// started dies with it when it has a pid namespace of its own.
//
// The caller must have one thread, since PR_SET_PDEATHSIG means the thread that forked.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "vmm/child.h"

namespace agentvm::vmm {

// What becomes a file descriptor of the program: a borrowed one of ours, or a directory that is
// opened (O_PATH) in the finished jail, so that ".." leads nowhere. Neither: /dev/null.
struct JailFd {
  int fd = -1;
  std::string directory;
  friend bool operator==(const JailFd&, const JailFd&) = default;
};

// One entry of the program's root. Parents of `path` are made as needed. Bind mounts get nosuid;
// they are read-only unless `writable`, and without devices unless `devices`.
struct JailEntry {
  enum class Kind : std::uint8_t { directory, symlink, bind };
  Kind kind = Kind::directory;
  std::string path;    // in the jail, without a leading '/': "usr/lib"
  std::string source;  // bind: a path of ours; symlink: its text
  int source_fd = -1;  // bind: instead of `source`, borrowed; may be O_PATH
  bool writable = false;
  bool devices = false;
  friend bool operator==(const JailEntry&, const JailEntry&) = default;
};

struct JailLimit {
  int resource = 0;         // RLIMIT_*
  std::uint64_t value = 0;  // soft and hard; cut to the hard limit where we may not raise that
  friend bool operator==(const JailLimit&, const JailLimit&) = default;
};

// Who the program is. Its capabilities, the bounding set included, are exactly `capabilities`
// (bit n: capability n); a uid other than 0 has none in effect whatever they say.
struct JailUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  std::uint64_t capabilities = 0;
  friend bool operator==(const JailUser&, const JailUser&) = default;
};

// System calls that are refused, always with no_new_privs.
enum class SyscallFilter : std::uint8_t {
  none,
  // What no program of ours has any business with: modules, kexec, bpf, ptrace, keys, clocks…
  host_control,
  // And what a program needs that builds its own sandbox: mounts, namespaces; sockets other than
  // unix ones; io_uring.
  unprivileged,
  // The same for a program whose business is the network: TCP and UDP are its too.
  unprivileged_network,
};

struct JailSpec {
  std::string name;               // for messages: "qemu"
  std::string program;            // path in the jail
  std::vector<std::string> argv;  // argv[0] included
  std::vector<std::string> env;   // "NAME=value"; nothing is inherited
  std::vector<JailFd> fds;        // fds[i] becomes fd i; all others are closed
  std::uint64_t namespaces = 0;   // CLONE_NEW* of clone(2), each of them new
  // Nothing: the caller's root (in the caller's mounts, or a copy with CLONE_NEWNS that receives
  // later ones). Otherwise needs CLONE_NEWNS.
  std::optional<std::vector<JailEntry>> root;
  std::optional<JailUser> user;  // nothing: as the caller
  SyscallFilter filter = SyscallFilter::none;
  std::vector<JailLimit> limits;
  std::optional<int> oom_score_adj;
  std::vector<int> cgroup_procs;  // borrowed fds of cgroup.procs files to join
  friend bool operator==(const JailSpec&, const JailSpec&) = default;
};

// Namespaces that cut a program off from everything that is not handed to it.
[[nodiscard]] std::uint64_t all_namespaces();

struct JailPlan;

// A program on its way to execve(2). Destruction kills it.
class JailStart {
 public:
  // Forks. invalid_argument for a spec that contradicts itself.
  [[nodiscard]] static Result<JailStart> begin(const JailSpec& spec);

  // Ends when execve(2) has succeeded, or with the step at which the child failed. The texts of
  // errno are not in the message: Docker would take "no such file" for a missing command.
  [[nodiscard]] Task<Child> finish() &&;

 private:
  JailStart(std::shared_ptr<const JailPlan> plan, Child child, UniqueFd report)
      : plan_(std::move(plan)), child_(std::move(child)), report_(std::move(report)) {}
  std::shared_ptr<const JailPlan> plan_;
  Child child_;
  UniqueFd report_;  // the end of it is success
};

// A uid (and gid) that nothing else on the host has: 0x70000000 on, past the ranges that systemd
// and useradd give out, one per live monitor process and part. `part` is below 4.
[[nodiscard]] uid_t uid_of_part(pid_t monitor, unsigned part);

// The entries that a dynamically linked program of the host's distribution needs: /usr, the library
// directories, ld.so.cache, its own prefix when it lies elsewhere, /dev/null and /dev/urandom.
[[nodiscard]] std::vector<JailEntry> make_program_root(const std::string& program);

// Gives `spec`, whose program is a path of ours, a root with that program and what it needs: nothing
// else where it is static, make_program_root() otherwise.
void enclose_program(JailSpec& spec);

// Whether an ELF file asks for a dynamic loader. False for what is not readable or no ELF.
[[nodiscard]] bool needs_loader(const std::string& program);

}  // namespace agentvm::vmm
