#include "vmm/guest_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "vmm/file_pieces.h"

namespace agentvm::vmm {

namespace {

constexpr std::uint64_t kMib = std::uint64_t{1024} * 1024;

// 0 or errno: also for a child that must not allocate.
int write_at(int fd, const char* bytes, std::size_t size, off_t offset) {
  while (size > 0) {
    const ssize_t n = ::pwrite(fd, bytes, size, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : EIO;
    bytes += n;
    size -= static_cast<std::size_t>(n);
    offset += n;
  }
  return 0;
}

// Writes the runs of pages in a piece that hold anything.
int write_used(int fd, const char* bytes, std::size_t size, off_t offset, std::uint64_t& copied) {
  for (std::size_t at = 0; at < size;) {
    std::size_t end = at;
    while (end < size && !is_zero(bytes + end, std::min(kPage, size - end))) {
      end = std::min(end + kPage, size);
    }
    if (end > at) {
      const int failed = write_at(fd, bytes + at, end - at, offset + static_cast<off_t>(at));
      if (failed != 0) return failed;
      copied += end - at;
    }
    at = end == at ? at + kPage : end;
  }
  return 0;
}

[[noreturn]] void be_the_copier(pid_t parent, int from, int to) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(ESRCH);
  ::_exit(for_each_piece(from, [to](const char* bytes, std::size_t size, off_t offset) {
    return write_at(to, bytes, size, offset);
  }));
}

}  // namespace

Result<void> mount_guest_memory(const std::string& directory, std::uint64_t memory_mib) {
  const std::string options = fmt::format("mode=0711,nr_inodes=8,size={}M", memory_mib + 1);
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount("agentvm-memory", directory.c_str(), "tmpfs", kFlags, options.c_str()) != 0) {
    return fail_errno(errno,
                      fmt::format("mount a tmpfs for the guest's memory on '{}'", directory));
  }
  return {};
}

Result<UniqueFd> make_memory_file(const std::string& path, std::uint64_t memory_mib, uid_t owner) {
  auto file =
      TRY(sys::open_at(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0600), "make the guest's memory");
  if (::ftruncate(file.get(), static_cast<off_t>(memory_mib * kMib)) != 0 ||
      ::fchown(file.get(), owner, owner) != 0) {
    return fail_errno(errno, "make the guest's memory");
  }
  return file;
}

Result<Child> start_memory_copy(int from, int to) {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) be_the_copier(parent, from, to);
  auto pidfd = TRY(sys::pidfd_open(pid));
  return Child(pid, std::move(pidfd));
}

Result<std::uint64_t> copy_used_pages(int from, int to) {
  std::uint64_t copied = 0;
  const int failed = for_each_piece(from, [&](const char* bytes, std::size_t size, off_t offset) {
    return write_used(to, bytes, size, offset, copied);
  });
  if (failed != 0) return fail_errno(failed, "copy the guest's memory");
  return copied;
}

}  // namespace agentvm::vmm
