#include "guest-agent/launch/copy_up.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <string>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// Each level costs an open directory on either side.
constexpr int kDeepest = 256;

Result<void> copy_directory(int from, int to, dev_t device, int depth);

struct Entry {
  int from;
  int to;
  std::string name;
  struct stat st{};
};

Result<void> take_owner(const Entry& entry) {
  const std::array times{entry.st.st_atim, entry.st.st_mtim};
  const bool link = S_ISLNK(entry.st.st_mode);
  if (::fchownat(entry.to, entry.name.c_str(), entry.st.st_uid, entry.st.st_gid,
                 AT_SYMLINK_NOFOLLOW) != 0 ||
      (!link && ::fchmodat(entry.to, entry.name.c_str(), entry.st.st_mode & 07777, 0) != 0) ||
      ::utimensat(entry.to, entry.name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno(errno, "owner and mode");
  }
  return {};
}

Result<void> copy_file(const Entry& entry) {
  auto in = TRY(sys::open_at(entry.from, entry.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  auto out =
      TRY(sys::open_at(entry.to, entry.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  constexpr std::size_t kChunk = std::size_t{1} << 20;
  for (;;) {
    const ssize_t n = ::sendfile(out.get(), in.get(), nullptr, kChunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "copy");
    if (n == 0) return {};
  }
}

Result<void> copy_link(const Entry& entry) {
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlinkat(entry.from, entry.name.c_str(), target.data(), PATH_MAX - 1);
  if (size < 0 || ::symlinkat(target.data(), entry.to, entry.name.c_str()) != 0) {
    return fail_errno(errno, "copy the link");
  }
  return {};
}

Result<void> copy_subdirectory(const Entry& entry, int depth) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  auto in = TRY(sys::open_at(entry.from, entry.name, kFlags));
  if (::mkdirat(entry.to, entry.name.c_str(), 0700) != 0) return fail_errno(errno, "mkdir");
  auto out = TRY(sys::open_at(entry.to, entry.name, kFlags));
  return copy_directory(in.get(), out.get(), entry.st.st_dev, depth + 1);
}

Result<void> copy_entry(const Entry& entry, int depth) {
  if (S_ISDIR(entry.st.st_mode)) {
    TRY(copy_subdirectory(entry, depth));
  } else if (S_ISREG(entry.st.st_mode)) {
    TRY(copy_file(entry));
  } else if (S_ISLNK(entry.st.st_mode)) {
    TRY(copy_link(entry));
  } else if (S_ISFIFO(entry.st.st_mode)) {
    if (::mkfifoat(entry.to, entry.name.c_str(), 0600) != 0) return fail_errno(errno, "mkfifo");
  } else {
    return {};
  }
  return take_owner(entry);
}

Result<void> copy_directory(int from, int to, dev_t device, int depth) {
  if (depth > kDeepest) return fail(ErrorKind::invalid_argument, "directories nest too deep");
  const int listing = ::openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (listing < 0) return fail_errno(errno, "open the directory");
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(listing), ::closedir);
  if (!entries) {
    ::close(listing);
    return fail_errno(errno, "list the directory");
  }
  for (;;) {
    errno = 0;
    const dirent* found = ::readdir(entries.get());
    if (found == nullptr && errno != 0) return fail_errno(errno, "list the directory");
    if (found == nullptr) return {};
    Entry entry{from, to, found->d_name, {}};
    if (entry.name == "." || entry.name == "..") continue;
    if (::fstatat(from, found->d_name, &entry.st, AT_SYMLINK_NOFOLLOW) != 0) {
      return fail_errno(errno, fmt::format("stat '{}'", entry.name));
    }
    if (entry.st.st_dev == device) TRY(copy_entry(entry, depth), "'{}'", entry.name);
  }
}

}  // namespace

Result<void> copy_up(int from, int to) {
  struct stat st{};
  if (::fstat(from, &st) != 0) return fail_errno(errno, "stat");
  return copy_directory(from, to, st.st_dev, 0);
}

}  // namespace agentvm::guest
