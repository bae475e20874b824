#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <set>
#include <string_view>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "vmm/jail_plan.h"

namespace agentvm::vmm {

namespace {

class RootPlanner {
 public:
  explicit RootPlanner(JailPlan& plan) : plan_(plan) {}

  Result<void> add(const JailEntry& entry) {
    if (entry.path.empty() || entry.path.front() == '/' || entry.path.contains("..")) {
      return fail(ErrorKind::invalid_argument, fmt::format("root entry '{}'", entry.path));
    }
    add_parents(entry.path);
    switch (entry.kind) {
      case JailEntry::Kind::directory:
        add_directory(entry.path);
        return {};
      case JailEntry::Kind::symlink:
        plan_.root.push_back({RootStep::Kind::symlink, entry.path, entry.source, -1, 0});
        return {};
      case JailEntry::Kind::bind:
        return add_bind(entry);
    }
    return {};
  }

 private:
  void add_parents(std::string_view path) {
    for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
         slash = path.find('/', slash + 1)) {
      add_directory(std::string(path.substr(0, slash)));
    }
  }

  void add_directory(const std::string& path) {
    if (!made_.insert(path).second) return;
    plan_.root.push_back({RootStep::Kind::make_directory, path, "", -1, 0});
  }

  Result<void> add_bind(const JailEntry& entry) {
    struct stat status{};
    const bool by_fd = entry.source_fd >= 0;
    const int found =
        by_fd ? ::fstat(entry.source_fd, &status) : ::stat(entry.source.c_str(), &status);
    if (found != 0) return fail_errno(errno, fmt::format("stat '{}'", entry.source));
    if (S_ISDIR(status.st_mode)) {
      add_directory(entry.path);
    } else {
      plan_.root.push_back({RootStep::Kind::make_file, entry.path, "", -1, 0});
    }
    std::uint64_t set = MOUNT_ATTR_NOSUID;
    set |= entry.writable ? 0 : MOUNT_ATTR_RDONLY;
    set |= entry.devices ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_NODEV;
    if (!by_fd) {
      plan_.root.push_back({RootStep::Kind::bind, entry.path, entry.source, -1, set});
      return {};
    }
    // A mount of our namespace cannot be bound in the child's; a detached copy can be moved there.
    UniqueFd tree(
        ::open_tree(entry.source_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (!tree) return fail_errno(errno, fmt::format("copy the mount for '{}'", entry.path));
    plan_.root.push_back({RootStep::Kind::attach, entry.path, "", tree.get(), set});
    plan_.trees.push_back(std::move(tree));
    return {};
  }

  JailPlan& plan_;
  std::set<std::string> made_;
};

JailEntry bind_entry(std::string path, bool devices = false) {
  JailEntry entry;
  entry.kind = JailEntry::Kind::bind;
  entry.source = path;
  entry.path = path.substr(1);
  entry.devices = devices;
  return entry;
}

std::string real_path(const std::string& path) {
  std::array<char, PATH_MAX> buffer{};
  const char* found = ::realpath(path.c_str(), buffer.data());
  return found != nullptr ? found : path;
}

// What holds a program and the files that it brings: "/opt/qemu" for "/opt/qemu/bin/qemu".
std::string prefix_of(const std::string& program) {
  const std::string directory = program.substr(0, program.rfind('/'));
  const std::size_t slash = directory.rfind('/');
  if (slash == std::string::npos || slash == 0) return program;  // never the host's "/"
  const std::string_view last = std::string_view(directory).substr(slash + 1);
  const bool programs = last == "bin" || last == "sbin" || last == "libexec";
  return programs ? directory.substr(0, slash) : directory;
}

}  // namespace

Result<void> plan_root(const std::vector<JailEntry>& entries, JailPlan& plan) {
  RootPlanner planner(plan);
  for (const JailEntry& entry : entries) TRY(planner.add(entry));
  return {};
}

std::vector<JailEntry> make_program_root(const std::string& program) {
  std::vector<JailEntry> entries{bind_entry("/usr")};
  for (const char* library : {"/lib", "/lib64"}) {
    std::array<char, PATH_MAX> text{};
    const ssize_t n = ::readlink(library, text.data(), text.size());
    if (n > 0) {
      JailEntry link;
      link.kind = JailEntry::Kind::symlink;
      link.path = library + 1;
      link.source.assign(text.data(), static_cast<std::size_t>(n));
      entries.push_back(std::move(link));
    } else if (::access(library, F_OK) == 0) {
      entries.push_back(bind_entry(library));
    }
  }
  if (::access("/etc/ld.so.cache", R_OK) == 0) entries.push_back(bind_entry("/etc/ld.so.cache"));
  entries.push_back(bind_entry("/dev/null", true));
  entries.push_back(bind_entry("/dev/urandom", true));
  const std::string place = real_path(program);
  if (!place.starts_with("/usr/") && !place.starts_with("/lib")) {
    entries.push_back(bind_entry(prefix_of(place)));
  }
  return entries;
}

void enclose_program(JailSpec& spec) {
  spec.program = real_path(spec.program);
  if (needs_loader(spec.program)) {
    spec.root = make_program_root(spec.program);
    return;
  }
  JailEntry program = bind_entry(spec.program);
  program.path = spec.program.substr(spec.program.rfind('/') + 1);
  spec.program = "/" + program.path;
  spec.root = std::vector{std::move(program)};
}

bool needs_loader(const std::string& program) {
  auto fd = sys::open_at(AT_FDCWD, program, O_RDONLY);
  Elf64_Ehdr header{};
  if (!fd || ::pread(fd->get(), &header, sizeof header, 0) != sizeof header) return false;
  if (std::string_view(reinterpret_cast<const char*>(header.e_ident), SELFMAG) != ELFMAG) {
    return false;
  }
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    const auto at = static_cast<off_t>(header.e_phoff + i * sizeof segment);
    if (::pread(fd->get(), &segment, sizeof segment, at) != sizeof segment) return false;
    if (segment.p_type == PT_INTERP) return true;
  }
  return false;
}

}  // namespace agentvm::vmm
