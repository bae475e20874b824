#include "runtime/share_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

struct KernelFilesystem {
  std::string_view type;  // as mountinfo has it
  unsigned long magic;    // as statfs(2) has it; 0: not told apart by it
};

constexpr std::array kKernelFilesystems{
    KernelFilesystem{"proc", PROC_SUPER_MAGIC},
    KernelFilesystem{"sysfs", SYSFS_MAGIC},
    KernelFilesystem{"cgroup", CGROUP_SUPER_MAGIC},
    KernelFilesystem{"cgroup2", CGROUP2_SUPER_MAGIC},
    KernelFilesystem{"devpts", DEVPTS_SUPER_MAGIC},
    KernelFilesystem{"devtmpfs", 0},  // statfs(2) calls it a tmpfs
    KernelFilesystem{"debugfs", DEBUGFS_MAGIC},
    KernelFilesystem{"tracefs", TRACEFS_MAGIC},
    KernelFilesystem{"securityfs", SECURITYFS_MAGIC},
    KernelFilesystem{"bpf", BPF_FS_MAGIC},
    KernelFilesystem{"pstore", PSTOREFS_MAGIC},
    KernelFilesystem{"efivarfs", EFIVARFS_MAGIC},
    KernelFilesystem{"selinuxfs", SELINUX_MAGIC},
    KernelFilesystem{"binfmt_misc", BINFMTFS_MAGIC},
    KernelFilesystem{"configfs", 0x62656570},  // fs/configfs/mount.c
    KernelFilesystem{"fusectl", 0x65735543},   // fs/fuse/control.c
    KernelFilesystem{"mqueue", 0x19800202},    // ipc/mqueue.c
    KernelFilesystem{"nsfs", NSFS_MAGIC},
    KernelFilesystem{"rpc_pipefs", 0x67596969},  // net/sunrpc/rpc_pipe.c
};

std::unexpected<Error> refuse(const std::string& source, std::string_view why) {
  return fail(ErrorKind::invalid_argument, fmt::format("mount source \"{}\" {}", source, why));
}

// The end of a path that names the engine's control socket, wherever /run is.
bool is_engine_socket(const std::string& source) {
  const std::string name = std::filesystem::path(source).filename().string();
  return name == "docker.sock" || name == "containerd.sock" || name == "podman.sock" ||
         name == "crio.sock";
}

Result<void> check_kind(const std::string& source, mode_t mode) {
  if (S_ISDIR(mode) || S_ISREG(mode)) return {};
  if (S_ISSOCK(mode) && is_engine_socket(source)) {
    return refuse(source,
                  "is a container engine's socket, which would give the container this host; run "
                  "the engine inside the container instead");
  }
  if (S_ISSOCK(mode)) {
    return refuse(source,
                  "is a unix socket, which does not reach into a VM; connect over the "
                  "container's network instead");
  }
  if (S_ISFIFO(mode)) {
    return refuse(source,
                  "is a fifo, which does not reach into a VM; use a file or the container's "
                  "network instead");
  }
  return refuse(source, "is a device of this host, which a VM does not have; leave it out");
}

Result<void> check_filesystem(const std::string& source, int fd, const struct stat& status) {
  struct statfs filesystem{};
  if (::fstatfs(fd, &filesystem) != 0) {
    return fail_errno(errno, fmt::format("mount source \"{}\"", source));
  }
  const auto magic = static_cast<unsigned long>(filesystem.f_type);
  for (const KernelFilesystem& kernel : kKernelFilesystems) {
    if (kernel.magic == 0 || kernel.magic != magic) continue;
    return refuse(source, fmt::format("lies in the host kernel's {}, which is not the container's; "
                                      "mount a {} of its own (the default)",
                                      kernel.type, kernel.type));
  }
  struct stat dev{};
  if (::stat("/dev", &dev) == 0 && dev.st_dev == status.st_dev) {
    struct stat root{};
    // Where /dev is a plain directory of the root file system, only /dev itself is meant.
    const bool own = ::stat("/", &root) == 0 && root.st_dev != dev.st_dev;
    if (own || dev.st_ino == status.st_ino) {
      return refuse(source, "lies in /dev, whose devices are this host's; leave it out");
    }
  }
  return {};
}

}  // namespace

bool is_kernel_filesystem(std::string_view type) {
  return std::ranges::find(kKernelFilesystems, type, &KernelFilesystem::type) !=
         kKernelFilesystems.end();
}

Result<OpenedSource> open_share_source(const std::string& source) {
  auto fd = sys::open_at(AT_FDCWD, source, O_PATH);
  if (!fd && (fd.error().errnum == ENOENT || fd.error().errnum == ENOTDIR)) {
    return refuse(source, "does not exist");
  }
  if (!fd) return std::unexpected(std::move(fd).error().wrap("mount source"));
  struct stat status{};
  if (::fstat(fd->get(), &status) != 0) {
    return fail_errno(errno, fmt::format("mount source \"{}\"", source));
  }
  TRY(check_kind(source, status.st_mode));
  TRY(check_filesystem(source, fd->get(), status));
  return OpenedSource{std::move(*fd), S_ISDIR(status.st_mode)};
}

}  // namespace agentvm::runtime
