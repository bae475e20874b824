#include "vmm/template/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>

#include "oci/base/remove_tree.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "vmm/template/checksum.h"

namespace agentvm::vmm {

namespace {

constexpr const char* kMemory = "memory";
constexpr const char* kState = "state";
constexpr const char* kManifest = "manifest.json";
constexpr std::string_view kLock = ".lock";
constexpr std::string_view kNew = ".new";
constexpr std::string_view kFailed = ".failed";
constexpr std::uint64_t kMib = std::uint64_t{1024} * 1024;
constexpr std::size_t kMaxState = std::size_t{64} << 20;
constexpr std::size_t kMaxReason = 4096;

std::unexpected<Error> unfit(std::string what) {
  return fail(ErrorKind::failed_precondition, std::move(what));
}

// Ours alone to write.
Result<struct stat> check_owner(int fd, std::string_view what) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail_errno(errno, fmt::format("stat {}", what));
  if (status.st_uid != ::geteuid()) {
    return unfit(fmt::format("{} belongs to uid {}, not to {}: it is not trusted", what,
                             status.st_uid, ::geteuid()));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return unfit(fmt::format("{} may be written by others (mode {:04o}): it is not trusted", what,
                             status.st_mode & 07777));
  }
  return status;
}

Result<UniqueFd> open_checked(int directory, const char* name, std::uint64_t size) {
  auto file = sys::open_at(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file)
    return unfit(fmt::format("its file '{}' cannot be opened: {}", name, file.error().text()));
  const auto status = TRY(check_owner(file->get(), fmt::format("its file '{}'", name)));
  if (!S_ISREG(status.st_mode)) return unfit(fmt::format("its '{}' is no file", name));
  if (static_cast<std::uint64_t>(status.st_size) != size) {
    return unfit(
        fmt::format("its file '{}' has {} bytes instead of {}", name, status.st_size, size));
  }
  return std::move(*file);
}

Result<void> check_state(const OpenTemplate& found) {
  const std::string bytes = TRY(sys::read_all(found.state.get(), kMaxState));
  if (checksum(bytes) != found.manifest.state_checksum) {
    return unfit("its file 'state' is damaged: the checksum differs");
  }
  // QEMU reads it from the beginning.
  if (::lseek(found.state.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "lseek");
  return {};
}

Result<void> sync_file(int directory, const char* name) {
  const auto file = TRY(sys::open_at(directory, name, O_RDWR | O_NOFOLLOW));
  if (::fsync(file.get()) != 0) return fail_errno(errno, fmt::format("write '{}'", name));
  return {};
}

bool is_template_name(std::string_view name) {
  return name.size() == 16 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string with(const std::string& name, std::string_view suffix) {
  return std::string(name).append(suffix);
}

std::time_t used_at(int directory, const std::string& name) {
  struct stat status{};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return 0;
  return status.st_mtim.tv_sec;
}

}  // namespace

Result<TemplateStore> TemplateStore::open(const std::string& directory) {
  if (!directory.starts_with('/')) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("the template store '{}' is no absolute path (templates.directory)",
                            directory));
  }
  std::error_code code;
  std::filesystem::create_directories(std::filesystem::path(directory).parent_path(), code);
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail_errno(errno, fmt::format("make the template store '{}'", directory));
  }
  auto fd = TRY(sys::open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY),
                "the template store '{}'", directory);
  TRY(check_owner(fd.get(), fmt::format("the template store '{}'", directory)));
  return TemplateStore(directory, std::move(fd));
}

Result<OpenTemplate> TemplateStore::open_template(const std::string& name) const {
  auto directory = sys::open_at(directory_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory && directory.error().errnum == ENOENT) {
    return fail(ErrorKind::not_found, "there is no such template");
  }
  const UniqueFd fd = TRY(std::move(directory));
  TRY(check_owner(fd.get(), "its directory"));
  auto text = sys::read_file_at(fd.get(), kManifest, kMaxManifestBytes);
  if (!text) return unfit(fmt::format("its manifest cannot be read: {}", text.error().text()));
  auto manifest = parse_manifest(*text);
  if (!manifest) return unfit(fmt::format("its manifest is damaged: {}", manifest.error().text()));
  OpenTemplate found;
  found.manifest = *std::move(manifest);
  found.memory = TRY(open_checked(fd.get(), kMemory, found.manifest.memory_mib * kMib));
  found.state = TRY(open_checked(fd.get(), kState, found.manifest.state_bytes));
  return found;
}

Result<OpenTemplate> TemplateStore::find(const TemplateKey& key) const {
  const std::string name = key.name();
  auto found = TRY(open_template(name), "template {}", name);
  if (found.manifest.key != key.text) {
    return unfit(fmt::format("template {} was made of something else", name));
  }
  TRY(check_state(found), "template {}", name);
  // The last use, for prune(); a store that cannot be written to works all the same.
  (void)::utimensat(directory_.get(), name.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  return found;
}

Result<void> TemplateStore::verify(const std::string& name) const {
  const auto found = TRY(open_template(name), "template {}", name);
  TRY(check_state(found), "template {}", name);
  const std::uint32_t sum = TRY(checksum_of_pages(found.memory.get()), "template {}", name);
  if (sum != found.manifest.memory_checksum) {
    return unfit(
        fmt::format("template {}: its file 'memory' is damaged: the checksum differs", name));
  }
  return {};
}

std::string TemplateStore::recent_failure(const TemplateKey& key, std::chrono::seconds age) const {
  const std::string file = with(key.name(), kFailed);
  const std::time_t since = std::time(nullptr) - used_at(directory_.get(), file);
  // One from the future is of a clock that was wrong.
  if (since < 0 || since >= age.count()) return "";
  return sys::read_file_at(directory_.get(), file, kMaxReason).value_or("");
}

Result<UniqueFd> TemplateStore::lock(const std::string& name) const {
  auto file =
      TRY(sys::open_at(directory_.get(), with(name, kLock), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return file;
  if (errno == EWOULDBLOCK) return fail(ErrorKind::already_exists, "it is being built");
  return fail_errno(errno, "lock it");
}

Result<TemplateDraft> TemplateStore::begin(const TemplateKey& key) const {
  TemplateDraft draft;
  draft.name = key.name();
  draft.lock = TRY(lock(draft.name), "template {}", draft.name);
  const std::string fresh = with(draft.name, kNew);
  TRY(remove_entry(directory_.get(), fresh));
  if (::mkdirat(directory_.get(), fresh.c_str(), 0700) != 0) {
    return fail_errno(errno, fmt::format("make '{}/{}'", path_, fresh));
  }
  draft.directory = TRY(sys::open_at(directory_.get(), fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return draft;
}

Result<void> TemplateStore::publish(TemplateDraft draft, const TemplateManifest& manifest) const {
  // All of it is on the disk before its name is.
  for (const char* name : {kMemory, kState}) TRY(sync_file(draft.directory.get(), name));
  TRY(sys::replace_file_at(draft.directory.get(), kManifest, write_manifest(manifest), 0600));
  TRY(remove_entry(directory_.get(), draft.name));
  if (::renameat(directory_.get(), with(draft.name, kNew).c_str(), directory_.get(),
                 draft.name.c_str()) != 0) {
    return fail_errno(errno, fmt::format("publish template {}", draft.name));
  }
  (void)::unlinkat(directory_.get(), with(draft.name, kFailed).c_str(), 0);
  (void)::unlinkat(directory_.get(), with(draft.name, kLock).c_str(), 0);
  return {};
}

void TemplateStore::discard(TemplateDraft draft, const std::string& reason) const {
  // As well as it goes: what stays is cleared away by the next builder, or by prune().
  (void)remove_entry(directory_.get(), with(draft.name, kNew));
  if (!reason.empty()) {
    (void)sys::replace_file_at(directory_.get(), with(draft.name, kFailed),
                               reason.substr(0, kMaxReason), 0600);
  }
  (void)::unlinkat(directory_.get(), with(draft.name, kLock).c_str(), 0);
}

Result<std::vector<TemplateEntry>> TemplateStore::list() const {
  std::vector<TemplateEntry> entries;
  for (const std::string& name : TRY(list_names(directory_.get()))) {
    if (!is_template_name(name)) continue;
    TemplateEntry entry;
    entry.name = name;
    entry.last_used = used_at(directory_.get(), name);
    auto found = open_template(name);
    if (found) {
      entry.manifest = std::move(found->manifest);
    } else {
      entry.problem = found.error().text();
    }
    entries.push_back(std::move(entry));
  }
  std::ranges::sort(entries, std::ranges::greater(), &TemplateEntry::last_used);
  return entries;
}

Result<void> TemplateStore::remove(const std::string& name) const {
  struct stat status{};
  if (!is_template_name(name) ||
      ::fstatat(directory_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail(ErrorKind::not_found, fmt::format("there is no template '{}'", name));
  }
  return remove_entry(directory_.get(), name);
}

Result<std::vector<std::string>> TemplateStore::prune(std::size_t keep) const {
  std::vector<std::string> removed;
  std::size_t good = 0;
  for (const TemplateEntry& entry : TRY(list())) {
    if (entry.manifest && ++good <= keep) continue;
    TRY(remove_entry(directory_.get(), entry.name));
    removed.push_back(entry.name);
  }
  for (const std::string& name : TRY(list_names(directory_.get()))) {
    const std::string base = name.substr(0, name.find('.'));
    if (base.size() == name.size() || !is_template_name(base)) continue;
    // Held by its builder: not ours to remove.
    const auto unheld = lock(base);
    if (!unheld) continue;
    for (const std::string_view suffix : {kNew, kFailed, kLock}) {
      TRY(remove_entry(directory_.get(), with(base, suffix)));
    }
    if (name.ends_with(kNew)) removed.push_back(name);
  }
  return removed;
}

}  // namespace agentvm::vmm
