#include "sandbox/store/place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "oci/base/remove_tree.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMaxName = 63;

bool is_small(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// The one error that everybody without root meets first.
Error explain(Error error) {
  if (error.errnum != EACCES && error.errnum != EPERM && error.errnum != EROFS) return error;
  if (::geteuid() == 0) return error;
  return {ErrorKind::failed_precondition, 0,
          "the settings of sandboxes belong to root: run this with sudo"};
}

}  // namespace

Result<void> check_sandbox_name(std::string_view name) {
  const bool fine = !name.empty() && name.size() <= kMaxName && is_small(name[0]) &&
                    std::ranges::all_of(name, [](char c) {
                      return is_small(c) || c == '_' || c == '.' || c == '-';
                    });
  if (fine) return {};
  return fail(ErrorKind::invalid_argument,
              fmt::format("'{}' is no name of a sandbox: 1 to 63 of a-z, 0-9, '_', '.', '-', a "
                          "letter or digit first",
                          name));
}

Result<void> make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  return fail_errno(errno, fmt::format("make directory '{}'", path));
}

Result<void> make_place(const Place& place) {
  for (const std::string& path : {place.directory, place.run_directory}) {
    std::error_code code;
    fs::create_directories(fs::path(path).parent_path(), code);
    auto made = make_directory(path, 0700);
    if (!made) return std::unexpected(explain(std::move(made).error()));
    if (::access(path.c_str(), W_OK | X_OK) != 0) {
      return std::unexpected(explain(fail_errno(errno, fmt::format("use '{}'", path)).error()));
    }
  }
  return {};
}

Result<void> store_file(const std::string& path, std::string_view text, mode_t mode) {
  const fs::path file(path);
  const auto directory =
      TRY(sys::open_at(AT_FDCWD, file.parent_path().string(), O_RDONLY | O_DIRECTORY));
  return sys::replace_file_at(directory.get(), file.filename().string(), text, mode);
}

Result<std::string> load_file(const std::string& path) {
  auto text = sys::read_file(path, kMaxStoredBytes);
  if (!text) return std::unexpected(explain(std::move(text).error()));
  return text;
}

bool is_there(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0;
}

Result<StoreLock> StoreLock::take(const Place& place) {
  auto fd = sys::open_at(AT_FDCWD, place.directory + "/.lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!fd) return std::unexpected(explain(std::move(fd).error()));
  while (::flock(fd->get(), LOCK_EX) != 0) {
    if (errno != EINTR) return fail_errno(errno, "lock the sandboxes");
  }
  return StoreLock(*std::move(fd));
}

Result<std::vector<std::string>> sandbox_names(const Place& place) {
  std::vector<std::string> names;
  std::error_code code;
  fs::directory_iterator entries(place.directory, code);
  if (code) {
    if (code.value() == ENOENT) return names;
    return std::unexpected(
        explain(fail_errno(code.value(), fmt::format("read '{}'", place.directory)).error()));
  }
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (check_sandbox_name(name)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

Result<void> remove_stored(const Place& place, std::string_view sandbox) {
  TRY(check_sandbox_name(sandbox));
  for (const std::string& directory : {place.run_directory, place.directory}) {
    const auto parent = sys::open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
    if (!parent && parent.error().errnum == ENOENT) continue;
    if (!parent) return std::unexpected(explain(parent.error()));
    TRY(remove_entry(parent->get(), std::string(sandbox)), "remove '{}/{}'", directory, sandbox);
  }
  return {};
}

}  // namespace agentvm::sandbox
