#include "runtime/egress/log_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kName = "log";
constexpr int kMostFiles = 256;

// A second name elsewhere would be a file that is not the gateway's.
void give(int directory, const char* name, uid_t owner) {
  const UniqueFd file(::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return;
  if (!S_ISREG(status.st_mode) || status.st_nlink != 1) return;
  (void)!::fchownat(file.get(), "", owner, owner, AT_EMPTY_PATH);
}

struct CloseDirectory {
  void operator()(DIR* directory) const { (void)::closedir(directory); }
};

void give_files(int directory, uid_t owner) {
  UniqueFd copy(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return;
  const std::unique_ptr<DIR, CloseDirectory> entries(::fdopendir(copy.get()));
  if (!entries) return;
  (void)copy.release();
  for (int i = 0; i < kMostFiles; ++i) {
    const dirent* entry = ::readdir(entries.get());
    if (entry == nullptr) return;
    give(directory, entry->d_name, owner);
  }
}

}  // namespace

Result<UniqueFd> take_log_directory(const std::string& sandbox_directory, uid_t owner) {
  const auto parent = TRY(sys::open_at(AT_FDCWD, sandbox_directory, O_RDONLY | O_DIRECTORY));
  if (::mkdirat(parent.get(), kName, 0700) != 0 && errno != EEXIST) {
    return fail_errno(errno, fmt::format("make '{}/{}'", sandbox_directory, kName));
  }
  auto directory = TRY(sys::open_at(parent.get(), kName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (::fchmod(directory.get(), 0700) != 0 || ::fchown(directory.get(), owner, owner) != 0) {
    return fail_errno(errno, fmt::format("give '{}/{}' away", sandbox_directory, kName));
  }
  give_files(directory.get(), owner);
  return directory;
}

}  // namespace agentvm::runtime
