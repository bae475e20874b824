#include "oci/base/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm {

namespace {

// What we make is two levels deep; a tree that somebody made to exhaust our stack is not followed.
constexpr int kMaxDepth = 64;

Result<UniqueFd> open_real_directory(int parent, const std::string& name) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
  const long fd = ::syscall(SYS_openat2, parent, name.c_str(), &how, sizeof how);
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  const int reason = errno == EXDEV ? EBUSY : errno;  // a mount point
  return fail_errno(reason, fmt::format("open '{}'", name));
}

Result<void> remove_at_depth(int parent, const std::string& name, int depth);

Result<void> empty(int dir, const std::vector<std::string_view>& keep, int depth) {
  const std::vector<std::string> names = TRY(list_names(dir));
  for (const std::string& name : names) {
    if (std::ranges::find(keep, name) != keep.end()) continue;
    TRY(remove_at_depth(dir, name, depth));
  }
  return {};
}

Result<void> remove_at_depth(int parent, const std::string& name, int depth) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return fail_errno(errno, fmt::format("remove '{}'", name));
  if (depth == 0) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("'{}' holds more than {} nested directories", name, kMaxDepth));
  }
  {
    auto dir = open_real_directory(parent, name);
    if (!dir && dir.error().errnum == ENOENT) return {};
    if (!dir) return std::unexpected(std::move(dir).error());
    TRY(empty(dir->get(), {}, depth - 1), "'{}'", name);
  }
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return fail_errno(errno, fmt::format("remove '{}'", name));
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> list_names(int dir) {
  auto copy = TRY(sys::open_at(dir, ".", O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy.get()), ::closedir);
  if (!stream) return fail_errno(errno, "list a directory");
  static_cast<void>(copy.release());  // the stream's now
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

Result<void> remove_contents(int dir, const std::vector<std::string_view>& keep) {
  return empty(dir, keep, kMaxDepth);
}

Result<void> remove_entry(int parent, const std::string& name) {
  return remove_at_depth(parent, name, kMaxDepth);
}

}  // namespace agentvm
