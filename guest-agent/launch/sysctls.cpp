// linux.sysctl (config-linux.md). The kernel is the container's own, so settings that hold for the
// whole guest are as welcome as namespaced ones; runc refuses the former.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "guest-agent/launch/mount_fd.h"
#include "guest-agent/launch/rootfs.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// sysctl(8): the first separator tells which of the two kinds of name it is. With dots, a slash
// stands for a dot in the name ("net.ipv4.conf.eth0/1.forwarding").
std::string file_of(const std::string& name) {
  std::string file = name;
  const std::size_t first = name.find_first_of("./");
  if (first == name.npos || name[first] == '/') return file;
  for (char& c : file) {
    if (c == '.') {
      c = '/';
    } else if (c == '/') {
      c = '.';
    }
  }
  return file;
}

Result<void> write_sysctl(int proc, const std::string& name, const std::string& value) {
  open_how how{};
  how.flags = O_WRONLY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  const std::string file = "sys/" + file_of(name);
  const UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, proc, file.c_str(), &how, sizeof how)));
  if (!fd) return fail_errno(errno, fmt::format("open '/proc/{}'", file));
  if (::write(fd.get(), value.data(), value.size()) < 0) {
    return fail_errno(errno, fmt::format("write '{}' to '/proc/{}'", value, file));
  }
  return {};
}

}  // namespace

Result<void> write_sysctls(const oci::Spec& spec, SysctlKind kind) {
  UniqueFd proc;
  for (const auto& [name, value] : spec.linux_->sysctl) {
    const bool network = name.starts_with("net.") || name.starts_with("net/");
    if (kind != SysctlKind::all && network != (kind == SysctlKind::network)) continue;
    if (!proc) proc = TRY(new_mount({"proc", "proc", {}, false, 0}));
    TRY(write_sysctl(proc.get(), name, value), "sysctl '{}'", name);
  }
  return {};
}

}  // namespace agentvm::guest
