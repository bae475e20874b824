// Runs inside a jail and tells on stdout what it sees there, one fact a line. Static: it can run in
// an empty root. What it does is its argv[1]:
//   look      tell and leave          stay      "ready", then wait for ever
//   fork      the same with a child   ptrace, mount, io_uring: make that system call
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

void list(const char* path) {
  DIR* directory = opendir(path);
  if (directory == nullptr) {
    printf("ls %s: %s\n", path, strerrorname_np(errno));
    return;
  }
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') printf("ls %s: %s\n", path, entry->d_name);
  }
  closedir(directory);
}

void tell_identity() {
  printf("uid %u %u\n", getuid(), geteuid());
  printf("gid %u %u\n", getgid(), getegid());
  gid_t groups[64];
  const int count = getgroups(64, groups);
  printf("groups %d", count);
  for (int i = 0; i < count; ++i) printf(" %u", groups[i]);
  printf("\n");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  syscall(SYS_capget, &header, data);
  printf("capabilities %x%08x %x%08x\n", data[1].effective, data[0].effective, data[1].permitted,
         data[0].permitted);
  unsigned long bounding = 0;
  for (int bit = 0; bit < 64; ++bit) {
    if (prctl(PR_CAPBSET_READ, bit, 0, 0, 0) == 1) bounding |= 1UL << bit;
  }
  printf("bounding %lx\n", bounding);
  printf("no_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  printf("seccomp %d\n", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
}

void tell_socket(const char* name, int family) {
  const int fd = socket(family, SOCK_DGRAM, 0);
  printf("%s %s\n", name, fd >= 0 ? "open" : strerrorname_np(errno));
  if (fd >= 0) close(fd);
}

void tell_surroundings() {
  printf("pid %d parent %d session %d\n", getpid(), getppid(), getsid(0));
  for (int fd = 0; fd < 64; ++fd) {
    struct stat status;
    if (fstat(fd, &status) == 0) printf("fd %d %s\n", fd, S_ISDIR(status.st_mode) ? "dir" : "file");
  }
  rlimit limit{};
  getrlimit(RLIMIT_CORE, &limit);
  printf("core %lu %lu\n", limit.rlim_cur, limit.rlim_max);
  list("/");
  printf("write /: %s\n", mkdir("/new", 0700) == 0 ? "done" : strerrorname_np(errno));
  tell_socket("unix", AF_UNIX);
  tell_socket("inet", AF_INET);
  tell_socket("inet6", AF_INET6);
  tell_socket("netlink", AF_NETLINK);
  tell_socket("vsock", AF_VSOCK);
  // The kernel looks at the lower half alone.
  const long wide = syscall(SYS_socket, (1L << 32) | AF_NETLINK, SOCK_DGRAM, 0);
  printf("wide %s\n", wide >= 0 ? "open" : strerrorname_np(errno));
  for (char** env = environ; *env != nullptr; ++env) printf("env %s\n", *env);
  // fd 3, when the test opened a directory of the jail as that.
  struct stat up, root;
  if (fstatat(3, "..", &up, 0) == 0 && stat("/", &root) == 0) {
    printf("up %s\n", up.st_ino == root.st_ino && up.st_dev == root.st_dev ? "root" : "elsewhere");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "look";
  setvbuf(stdout, nullptr, _IOLBF, 0);
  if (strcmp(what, "look") == 0) {
    tell_identity();
    tell_surroundings();
  } else if (strcmp(what, "ptrace") == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  } else if (strcmp(what, "mount") == 0) {
    mount("none", "/", "tmpfs", 0, nullptr);
  } else if (strcmp(what, "io_uring") == 0) {
    printf("io_uring %s\n",
           syscall(SYS_io_uring_setup, 1, nullptr) < 0 ? strerrorname_np(errno) : "");
  } else {
    if (strcmp(what, "fork") == 0) {
      // A daemon's worker: out of the session, ignoring what may be ignored.
      if (fork() == 0) {
        setsid();
        for (;;) pause();
      }
    }
    printf("ready\n");
    for (;;) pause();
  }
  return 0;
}
