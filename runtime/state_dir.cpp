#include "runtime/state_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>

#include "oci/base/remove_tree.h"
#include "oci/base/rollback.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/lock_wait.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMaxIdLength = 1024;
// Directories in the making: no id begins so, since check_container_id() is asked before.
constexpr std::string_view kNewPrefix = ".new.";

std::unexpected<Error> does_not_exist() {
  return fail(ErrorKind::not_found, "container does not exist");
}

Result<UniqueFd> duplicate(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return fail_errno(errno, "duplicate a file descriptor");
  return copy;
}

// What the directories above lack. Their mode is the usual one; only the root itself is private.
Result<void> make_parents(const std::string& path) {
  std::error_code code;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), code);
  if (code) return fail_errno(code.value(), fmt::format("make the directories above '{}'", path));
  return {};
}

Result<void> check_root(int fd, const std::string& path) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail_errno(errno, fmt::format("stat '{}'", path));
  if (status.st_uid != ::geteuid()) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("state directory '{}' belongs to user {}, not to user {}", path,
                            status.st_uid, ::geteuid()));
  }
  // Whoever can write here can name processes to kill and cgroups to remove.
  if ((status.st_mode & 0022) != 0) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("state directory '{}' can be written by others (mode {:04o})", path,
                            status.st_mode & 07777));
  }
  return {};
}

Result<void> write_new(int dir, const std::string& name, std::string_view bytes) {
  const auto fd = TRY(sys::open_at(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  return sys::write_all(fd.get(), bytes);
}

// Directories in the making whose maker was killed; one that had our own pid included.
Result<void> remove_abandoned(int root) {
  for (const std::string& name : TRY(list_names(root))) {
    if (!name.starts_with(kNewPrefix)) continue;
    pid_t maker = 0;
    const char* digits = name.data() + kNewPrefix.size();
    if (std::from_chars(digits, name.data() + name.size(), maker).ec != std::errc()) continue;
    if (maker == ::getpid() || (::kill(maker, 0) != 0 && errno == ESRCH)) {
      TRY(remove_entry(root, name));
    }
  }
  return {};
}

}  // namespace

Result<void> check_container_id(std::string_view id) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-' || c == '.';
  };
  // A leading dot is a name of ours, or "." or "..".
  if (id.empty() || id.size() > kMaxIdLength || id.front() == '.' ||
      !std::ranges::all_of(id, allowed)) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("invalid container ID format: '{}'", id.substr(0, 128)));
  }
  return {};
}

StateLock& StateLock::operator=(StateLock&& other) noexcept {
  if (this != &other) {
    if (fd_) ::flock(fd_.get(), LOCK_UN);
    fd_ = std::move(other.fd_);
  }
  return *this;
}

StateLock::~StateLock() {
  // Explicitly, not by closing: a child may hold a copy of the descriptor.
  if (fd_) ::flock(fd_.get(), LOCK_UN);
}

StateDir::StateDir(std::string root_path, std::string id, UniqueFd root, UniqueFd dir)
    : root_path_(std::move(root_path)),
      id_(std::move(id)),
      root_(std::move(root)),
      dir_(std::move(dir)) {}

std::string StateDir::path() const {
  return root_path_ + "/" + id_;
}

Result<StateLock> StateDir::lock(std::chrono::milliseconds deadline) const {
  auto fd = sys::open_at(dir_.get(), kLockFile, O_RDWR | O_NOFOLLOW);
  if (!fd && fd.error().errnum == ENOENT) return does_not_exist();
  if (!fd) return std::unexpected(std::move(fd).error().wrap("lock the container's state"));
  TRY(wait_for_lock(fd->get(), deadline), "lock the state of container '{}'", id_);
  StateLock held(std::move(*fd));
  struct stat status{};
  if (::fstat(held.fd_.get(), &status) != 0) return fail_errno(errno, "stat the state's lock");
  if (status.st_nlink == 0) return does_not_exist();  // deleted while this call waited
  return held;
}

Result<ContainerRecord> StateDir::load() const {
  auto fd = sys::open_at(dir_.get(), kRecordFile, O_RDONLY | O_NOFOLLOW);
  if (!fd && fd.error().errnum == ENOENT) return does_not_exist();
  if (!fd) return std::unexpected(std::move(fd).error().wrap("load the container's state"));
  const std::string place = path() + "/" + kRecordFile;
  const std::string text = TRY(sys::read_all(fd->get(), kMaxRecordBytes), "'{}'", place);
  auto record = TRY(parse_record(text), "'{}'", place);
  if (record.id != id_) {
    return fail(ErrorKind::internal,
                fmt::format("'{}' holds the state of container '{}'", place, record.id));
  }
  return record;
}

Result<void> StateDir::store(const ContainerRecord& record, const StateLock& /*held*/) const {
  TRY(sys::replace_file_at(dir_.get(), kRecordFile, write_record(record), 0600),
      "store the state of container '{}'", id_);
  return {};
}

Result<void> StateDir::remove(const StateLock& /*held*/) {
  // The record goes after everything that may fail, so that a removal cut short can be repeated.
  TRY(remove_contents(dir_.get(), {kRecordFile, kLockFile}), "remove the state of container '{}'",
      id_);
  for (const char* name : {kRecordFile, kLockFile}) {
    if (::unlinkat(dir_.get(), name, 0) != 0 && errno != ENOENT) {
      return fail_errno(errno, fmt::format("remove '{}/{}'", path(), name));
    }
  }
  if (::unlinkat(root_.get(), id_.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return fail_errno(errno, fmt::format("remove '{}'", path()));
  }
  return {};
}

Result<StateRoot> StateRoot::open(const std::string& path) {
  const std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
  TRY(make_parents(absolute));
  if (::mkdir(absolute.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail_errno(errno, fmt::format("make state directory '{}'", absolute));
  }
  auto fd = TRY(sys::open_at(AT_FDCWD, absolute, O_RDONLY | O_DIRECTORY), "state directory");
  TRY(check_root(fd.get(), absolute));
  return StateRoot(absolute, std::move(fd));
}

Result<StateDir> StateRoot::create(const ContainerRecord& first) const {
  TRY(check_container_id(first.id));
  // Made aside and renamed: a reader never sees a container without a record.
  const std::string aside = fmt::format("{}{}.{}", kNewPrefix, ::getpid(), first.id).substr(0, 200);
  const std::string doing = fmt::format("make the state of container '{}'", first.id);
  TRY(remove_abandoned(fd_.get()), "{}", doing);
  if (::mkdirat(fd_.get(), aside.c_str(), 0700) != 0) return fail_errno(errno, doing);
  Rollback rollback;
  rollback.push([&] { static_cast<void>(remove_entry(fd_.get(), aside)); });
  auto dir = TRY(sys::open_at(fd_.get(), aside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), "{}", doing);
  TRY(write_new(dir.get(), kLockFile, ""), "{}", doing);
  TRY(write_new(dir.get(), kRecordFile, write_record(first)), "{}", doing);
  if (::renameat2(fd_.get(), aside.c_str(), fd_.get(), first.id.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST) {
      return fail(ErrorKind::already_exists, "container with given ID already exists");
    }
    return fail_errno(errno, doing);
  }
  rollback.release();
  auto root = TRY(duplicate(fd_.get()));
  return StateDir(path_, first.id, std::move(root), std::move(dir));
}

Result<StateDir> StateRoot::open_container(const std::string& id) const {
  TRY(check_container_id(id));
  auto dir = sys::open_at(fd_.get(), id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir && dir.error().errnum == ENOENT) return does_not_exist();
  if (!dir) return std::unexpected(std::move(dir).error().wrap("container state"));
  auto root = TRY(duplicate(fd_.get()));
  return StateDir(path_, id, std::move(root), std::move(*dir));
}

Result<std::vector<std::string>> StateRoot::list() const {
  std::vector<std::string> ids = TRY(list_names(fd_.get()), "list '{}'", path_);
  std::erase_if(ids, [this](const std::string& id) {
    struct stat status{};
    return !check_container_id(id) ||
           ::fstatat(fd_.get(), id.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
           !S_ISDIR(status.st_mode);
  });
  std::ranges::sort(ids);
  return ids;
}

}  // namespace agentvm::runtime
