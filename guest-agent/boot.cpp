#include "guest-agent/boot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "guest-agent/modules.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

Result<void> make_directory(const char* path, mode_t mode) {
  if (::mkdir(path, mode) == 0 || errno == EEXIST) return {};
  return fail_errno(errno, fmt::format("mkdir '{}'", path));
}

// pivot_root(2) refuses the kernel's rootfs, which has no parent mount. A bind mount of it, moved
// over it, has one, and no byte has to be copied. Before any other mount: they would stay below.
Result<void> take_own_root() {
  constexpr const char* kPlace = "/.root";
  TRY(make_directory(kPlace, 0700));
  if (::mount("/", kPlace, nullptr, MS_BIND, nullptr) != 0) return fail_errno(errno, "bind '/'");
  if (::chdir(kPlace) != 0) return fail_errno(errno, "enter the new root");
  if (::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0) return fail_errno(errno, "move it to '/'");
  if (::chroot(".") != 0 || ::chdir("/") != 0) return fail_errno(errno, "chroot");
  if (::rmdir(kPlace) != 0) return fail_errno(errno, fmt::format("rmdir '{}'", kPlace));
  return {};
}

struct FileSystem {
  const char* path;
  const char* type;
  unsigned long flags;
  const char* options;
  bool optional;  // a kernel may lack it
};

constexpr unsigned long kInert = MS_NOSUID | MS_NODEV | MS_NOEXEC;

constexpr std::array kEarlyMounts = {
    FileSystem{"/dev", "devtmpfs", MS_NOSUID, "mode=0755", false},
    FileSystem{"/proc", "proc", kInert, nullptr, false},
    FileSystem{"/sys", "sysfs", kInert, nullptr, false},
    FileSystem{"/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755", false},
    FileSystem{"/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", false},
    FileSystem{"/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5", false},
    FileSystem{"/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", false},
    FileSystem{"/dev/mqueue", "mqueue", kInert, nullptr, true},
    FileSystem{"/dev/hugepages", "hugetlbfs", MS_NOSUID | MS_NODEV, nullptr, true},
    // nsdelegate: a container cannot change the limits on the root of its own cgroup namespace.
    FileSystem{kCgroupRoot, "cgroup2", kInert, "nsdelegate,memory_recursiveprot", false},
};

Result<void> mount_file_systems() {
  for (const FileSystem& fs : kEarlyMounts) {
    // sysfs has the directory for cgroups itself and allows no other.
    if (std::strcmp(fs.path, kCgroupRoot) != 0) TRY(make_directory(fs.path, 0755));
    if (::mount(fs.type, fs.path, fs.type, fs.flags, fs.options) == 0) continue;
    if (fs.optional && errno == ENODEV) continue;
    return fail_errno(errno, fmt::format("mount '{}'", fs.path));
  }
  return {};
}

// stdin is empty, output goes to the console. The fds 0 to 2 may be closed so far: then what is
// opened here is born there and stays.
Result<void> open_console() {
  auto null = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_RDWR));
  auto console = sys::open_at(AT_FDCWD, "/dev/console", O_WRONLY | O_NOCTTY);
  const int output = console ? console->get() : null.get();
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    if (::dup2(output, fd) < 0) return fail_errno(errno, "set stdout and stderr");
  }
  if (::dup2(null.get(), STDIN_FILENO) < 0) return fail_errno(errno, "set stdin");
  if (null.get() <= STDERR_FILENO) (void)null.release();
  if (console && console->get() <= STDERR_FILENO) (void)console->release();
  return {};
}

struct Sysctl {
  const char* path;
  const char* value;
  bool optional;
};

constexpr std::array kSysctls = {
    // Ids come around late: a stale pid is then no other process.
    Sysctl{"/proc/sys/kernel/pid_max", "4194304", false},
    Sysctl{"/proc/sys/fs/inotify/max_user_instances", "8192", true},
    Sysctl{"/proc/sys/fs/inotify/max_user_watches", "1048576", true},
    Sysctl{"/proc/sys/vm/max_map_count", "262144", true},
    Sysctl{"/proc/sys/kernel/keys/maxkeys", "2000", true},
    Sysctl{"/proc/sys/net/ipv4/ping_group_range", "0 2147483647", true},
    // Core dumps go to the container's directory, never through a program of the guest.
    Sysctl{"/proc/sys/kernel/core_pattern", "core", true},
    // The VM is the unit that restarts; its keyboard and SysRq are nobody's.
    Sysctl{"/proc/sys/kernel/sysrq", "0", true},
};

Result<void> set_sysctls() {
  for (const Sysctl& sysctl : kSysctls) {
    auto written = sys::write_file(sysctl.path, sysctl.value);
    if (!written && !sysctl.optional) return written;
  }
  ::reboot(RB_DISABLE_CAD);
  return {};
}

Result<void> raise_limits() {
  // Every stream is a descriptor; containers without limits of their own inherit these.
  const rlimit files{65536, 1048576};
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) return fail_errno(errno, "RLIMIT_NOFILE");
  ::umask(0022);
  return {};
}

Result<void> bring_loopback_up() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "open a socket");
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return fail_errno(errno, "flags of lo");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno(errno, "set lo up");
  return {};
}

struct Step {
  const char* name;
  Result<void> (*run)();
};

constexpr std::array kSteps = {
    Step{"take a root of its own", take_own_root},
    Step{"mount file systems", mount_file_systems},
    Step{"open the console", open_console},
    Step{"load modules", load_boot_modules},
    Step{"set sysctls", set_sysctls},
    Step{"raise limits", raise_limits},
    Step{"bring lo up", bring_loopback_up},
};

}  // namespace

Result<CgroupTree> boot_guest() {
  for (const Step& step : kSteps) TRY(step.run(), "boot: {}", step.name);
  return TRY(prepare_cgroup_tree(kCgroupRoot, true), "boot: prepare cgroups");
}

bool kernel_command_line_has(std::string_view word) {
  const auto line = sys::read_file("/proc/cmdline", 65536);
  if (!line) return false;
  const auto words = split(*line, " \n");
  return std::ranges::find(words, word) != words.end();
}

}  // namespace agentvm::guest
