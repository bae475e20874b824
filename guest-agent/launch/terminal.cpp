#include "guest-agent/launch/terminal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "guest-agent/launch/mount_fd.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

Result<Terminal> open_terminal(int root_fd, const std::optional<oci::ConsoleSize>& size) {
  Terminal terminal;
  // Looked at before it is opened for good: opening a device or fifo can have effects.
  auto looked = TRY(sys::open_in_root(root_fd, "/dev/pts/ptmx", O_PATH | O_NOFOLLOW));
  struct stat st{};
  if (::fstat(looked.get(), &st) != 0) return fail_errno(errno, "stat '/dev/pts/ptmx'");
  if (filesystem_magic(looked.get()) != DEVPTS_SUPER_MAGIC || st.st_rdev != ::makedev(5, 2)) {
    return fail(ErrorKind::invalid_argument, "'/dev/pts' is not a devpts");
  }
  terminal.master =
      TRY(sys::open_in_root(root_fd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW));
  struct stat opened{};
  if (::fstat(terminal.master.get(), &opened) != 0 || opened.st_dev != st.st_dev ||
      opened.st_ino != st.st_ino) {
    return fail(ErrorKind::failed_precondition, "'/dev/pts/ptmx' has changed meanwhile");
  }
  const int unlock = 0;
  if (::ioctl(terminal.master.get(), TIOCSPTLCK, &unlock) != 0) {
    return fail_errno(errno, "unlock the pty");
  }
  terminal.slave.reset(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave) return fail_errno(errno, "open the pty");
  if (size) {
    winsize window{};
    window.ws_row = size->height;
    window.ws_col = size->width;
    if (::ioctl(terminal.slave.get(), TIOCSWINSZ, &window) != 0) {
      return fail_errno(errno, "set the size of the terminal");
    }
  }
  return terminal;
}

Result<void> bind_console(int root_fd, int slave) {
  auto tree = TRY(clone_tree(slave, "", false), "/dev/console");
  TRY(attach_file(tree.get(), root_fd, "/dev/console"), "/dev/console");
  return {};
}

Result<void> take_terminal(int slave) {
  if (::ioctl(slave, TIOCSCTTY, 0) != 0) return fail_errno(errno, "take the terminal");
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(slave, fd) < 0) return fail_errno(errno, "take the terminal");
  }
  return {};
}

}  // namespace agentvm::guest
