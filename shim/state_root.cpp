#include "shim/state_root.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/state_dir.h"

namespace agentvm::shim {

namespace {

// Whether `path` still names the directory that is open: it may have been removed before the lock
// was had.
bool is_current(int directory, const std::string& path) {
  struct stat opened{};
  struct stat named{};
  return ::fstat(directory, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

}  // namespace

Result<HeldStateRoot> HeldStateRoot::hold(std::string path) {
  constexpr int kAttempts = 100;  // each lost one is another process's release() in between
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto made = runtime::StateRoot::open(path);
    if (!made && made.error().errnum != ENOENT) return std::unexpected(std::move(made).error());
    auto directory = sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!directory && directory.error().errnum != ENOENT) {
      return std::unexpected(std::move(directory).error());
    }
    if (!made || !directory) continue;
    if (::flock(directory->get(), LOCK_SH) != 0) {
      return fail_errno(errno, fmt::format("lock '{}'", path));
    }
    if (is_current(directory->get(), path)) {
      return HeldStateRoot(std::move(path), std::move(*directory));
    }
  }
  return fail(ErrorKind::unavailable, fmt::format("'{}' is removed again and again", path));
}

void HeldStateRoot::release() {
  if (lock_ && ::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) {
    if (::rmdir(path_.c_str()) == 0) {
      // The last one of all namespaces; a new one is made in StateRoot::open().
      (void)::rmdir(std::filesystem::path(path_).parent_path().c_str());
    }
  }
  lock_.reset();
}

}  // namespace agentvm::shim
