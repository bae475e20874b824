// Only system calls here, on memory that was prepared before the fork.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "oci/base/signals.h"
#include "vmm/jail_plan.h"

namespace agentvm::vmm {

namespace {

// Any directory that every host has and that no bind mount comes from will do.
constexpr const char* kRootPlace = "/proc";

class Confinement {
 public:
  explicit Confinement(JailPlan& plan) : plan_(plan) {}

  [[noreturn]] void run() {
    start_over();
    gather_fds();
    write_own_files();
    if ((plan_.spec.namespaces & CLONE_NEWNS) != 0) enter_root();
    open_directories();
    place_fds();
    set_limits();
    (void)::umask(077);
    take_identity();
    die_with_parent();
    filter();
    (void)::execve(plan_.spec.program.c_str(), plan_.argv.data(), plan_.env.data());
    die(JailStage::execute);
  }

 private:
  [[noreturn]] void die(JailStage stage, int index = 0) {
    const JailFailure failure{stage, index, errno};
    (void)!::write(plan_.report, &failure, sizeof failure);
    ::_exit(127);
  }

  void need(bool done, JailStage stage, int index = 0) {
    if (!done) die(stage, index);
  }

  // Nothing of how the caller deals with signals and its terminal passes on.
  void start_over() {
    need(reset_signals(), JailStage::signals);
    need(::setsid() > 0, JailStage::session);
    (void)::umask(022);  // its root is for a uid that does not own it
  }

  // Copies above every target, so that placing one never overwrites another.
  int above_targets(int fd) {
    const int floor = static_cast<int>(plan_.fds.size()) + 3;
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, floor);
    need(copy >= 0, JailStage::gather_fds);
    return copy;
  }

  void gather_fds() {
    plan_.report = above_targets(plan_.report);
    parent_ = above_targets(plan_.parent.get());
    for (int& fd : plan_.fds) fd = above_targets(fd >= 0 ? fd : plan_.dev_null.get());
    for (RootStep& step : plan_.root) {
      if (step.tree >= 0) step.tree = above_targets(step.tree);
    }
  }

  void write_own_files() {
    for (const int procs : plan_.spec.cgroup_procs) {
      need(::write(procs, "0", 1) == 1, JailStage::cgroup);
    }
    if (plan_.oom_score_adj.empty()) return;
    const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    need(fd >= 0, JailStage::oom_score);
    const std::string& text = plan_.oom_score_adj;
    need(::write(fd, text.data(), text.size()) > 0, JailStage::oom_score);
    (void)::close(fd);
  }

  void enter_root() {
    // What is mounted here must not appear outside. A program with a root of its own sees nothing
    // of later mounts; one without receives them.
    const unsigned long propagation = plan_.spec.root ? MS_PRIVATE : MS_SLAVE;
    need(::mount(nullptr, "/", nullptr, MS_REC | propagation, nullptr) == 0,
         JailStage::propagation);
    if (!plan_.spec.root) return;
    constexpr unsigned long kBare = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    need(::mount("tmpfs", kRootPlace, "tmpfs", kBare, "mode=0755,size=64k") == 0 &&
             ::chdir(kRootPlace) == 0,
         JailStage::root_tmpfs);
    int index = 0;
    for (const RootStep& step : plan_.root) need(apply(step), JailStage::root_entry, index++);
    // The old root lies on top of the new one after this, and the second call takes it away.
    need(::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", MNT_DETACH) == 0 &&
             ::chdir("/") == 0,
         JailStage::pivot);
    need(::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kBare, nullptr) == 0,
         JailStage::seal_root);
  }

  static bool apply(const RootStep& step) {
    const char* path = step.path.c_str();
    switch (step.kind) {
      case RootStep::Kind::make_directory:
        return ::mkdir(path, 0755) == 0 || errno == EEXIST;
      case RootStep::Kind::make_file:
        return ::mknod(path, S_IFREG | 0444, 0) == 0;
      case RootStep::Kind::symlink:
        return ::symlink(step.source.c_str(), path) == 0;
      case RootStep::Kind::bind:
        return ::mount(step.source.c_str(), path, nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
               restrict_mount(step);
      case RootStep::Kind::attach:
        return ::move_mount(step.tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) == 0 &&
               restrict_mount(step);
    }
    return false;
  }

  static bool restrict_mount(const RootStep& step) {
    mount_attr attributes{};
    attributes.attr_set = step.set;
    return ::mount_setattr(AT_FDCWD, step.path.c_str(), AT_RECURSIVE, &attributes,
                           sizeof attributes) == 0;
  }

  void open_directories() {
    for (std::size_t i = 0; i < plan_.fds.size(); ++i) {
      const std::string& directory = plan_.spec.fds[i].directory;
      if (directory.empty()) continue;
      const int fd = ::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
      need(fd >= 0, JailStage::directory, static_cast<int>(i));
      plan_.fds[i] = above_targets(fd);
    }
  }

  void place_fds() {
    int target = 0;
    for (const int fd : plan_.fds) need(::dup2(fd, target++) >= 0, JailStage::place_fds);
    need(::close_range(static_cast<unsigned>(target), ~0U, CLOSE_RANGE_CLOEXEC) == 0,
         JailStage::place_fds);
  }

  void set_limits() {
    int index = 0;
    for (const JailLimitPair& limit : plan_.limits) {
      const auto resource = static_cast<__rlimit_resource>(limit.resource);
      need(::setrlimit(resource, &limit.wanted) == 0 ||
               (errno == EPERM && ::setrlimit(resource, &limit.possible) == 0),
           JailStage::limit, index++);
    }
  }

  void take_identity() {
    // First, since the system calls of the filter need it.
    need(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, JailStage::no_new_privileges);
    if (!plan_.spec.user) return;
    const JailUser& user = *plan_.spec.user;
    for (int bit = 0; bit < 64; ++bit) {
      if ((plan_.unwanted_capabilities >> bit & 1U) == 0) continue;
      need(::prctl(PR_CAPBSET_DROP, bit, 0, 0, 0) == 0, JailStage::bounding_set, bit);
    }
    // The system calls themselves: glibc's wrappers synchronise threads that do not exist here.
    need(::syscall(SYS_setgroups, user.groups.size(), user.groups.data()) == 0, JailStage::groups);
    need(::syscall(SYS_setresgid, user.gid, user.gid, user.gid) == 0, JailStage::gid);
    need(::syscall(SYS_setresuid, user.uid, user.uid, user.uid) == 0, JailStage::uid);
    set_capabilities(user.uid == 0 ? user.capabilities : 0);
  }

  void set_capabilities(std::uint64_t wanted) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    for (int half = 0; half < 2; ++half) {
      const auto bits = static_cast<std::uint32_t>(wanted >> (32 * half));
      data[half].effective = data[half].permitted = bits;
    }
    (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    need(::syscall(SYS_capset, &header, data) == 0, JailStage::capabilities);
  }

  // After the change of identity, which clears the death signal (prctl(2)).
  void die_with_parent() {
    need(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, JailStage::death_signal);
    // A parent that died before that line sends nothing any more.
    pollfd watched{parent_, POLLIN, 0};
    need(::poll(&watched, 1, 0) == 0, JailStage::parent_gone);
  }

  void filter() {
    if (plan_.filter.empty()) return;
    const sock_fprog program{static_cast<unsigned short>(plan_.filter.size()), plan_.filter.data()};
    need(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, JailStage::filter);
  }

  JailPlan& plan_;
  int parent_ = -1;
};

}  // namespace

void become_jailed(JailPlan& plan) noexcept {
  Confinement(plan).run();
}

}  // namespace agentvm::vmm
