#include "oci/mount_options.h"

// Not <sys/mount.h>: the two define the same names, and only this one has mount_setattr's.
#include <fmt/format.h>
#include <linux/mount.h>

#include <algorithm>
#include <array>
#include <optional>

namespace agentvm::oci {

namespace {

// A word that is a flag of mount(2), given or taken away.
struct FlagWord {
  std::string_view word;
  unsigned long flag;
  bool clear;
};

constexpr std::array kFlags = std::to_array<FlagWord>({
    {"acl", MS_POSIXACL, false},
    {"async", MS_SYNCHRONOUS, true},
    {"atime", MS_NOATIME, true},
    {"bind", MS_BIND, false},
    {"defaults", 0, false},
    {"dev", MS_NODEV, true},
    {"diratime", MS_NODIRATIME, true},
    {"dirsync", MS_DIRSYNC, false},
    {"exec", MS_NOEXEC, true},
    {"iversion", MS_I_VERSION, false},
    {"lazytime", MS_LAZYTIME, false},
    {"loud", MS_SILENT, true},
    {"mand", MS_MANDLOCK, false},
    {"noacl", MS_POSIXACL, true},
    {"noatime", MS_NOATIME, false},
    {"nodev", MS_NODEV, false},
    {"nodiratime", MS_NODIRATIME, false},
    {"noexec", MS_NOEXEC, false},
    {"noiversion", MS_I_VERSION, true},
    {"nolazytime", MS_LAZYTIME, true},
    {"nomand", MS_MANDLOCK, true},
    {"norelatime", MS_RELATIME, true},
    {"nostrictatime", MS_STRICTATIME, true},
    {"nosuid", MS_NOSUID, false},
    {"nosymfollow", MS_NOSYMFOLLOW, false},
    {"rbind", MS_BIND | MS_REC, false},
    {"relatime", MS_RELATIME, false},
    {"remount", MS_REMOUNT, false},
    {"ro", MS_RDONLY, false},
    {"rw", MS_RDONLY, true},
    {"silent", MS_SILENT, false},
    {"strictatime", MS_STRICTATIME, false},
    {"suid", MS_NOSUID, true},
    {"symfollow", MS_NOSYMFOLLOW, true},
    {"sync", MS_SYNCHRONOUS, false},
});

struct PropagationWord {
  std::string_view word;
  unsigned long flags;
};

constexpr std::array kPropagations = std::to_array<PropagationWord>({
    {"private", MS_PRIVATE},
    {"rprivate", MS_PRIVATE | MS_REC},
    {"rshared", MS_SHARED | MS_REC},
    {"rslave", MS_SLAVE | MS_REC},
    {"runbindable", MS_UNBINDABLE | MS_REC},
    {"shared", MS_SHARED},
    {"slave", MS_SLAVE},
    {"unbindable", MS_UNBINDABLE},
});

// An attribute of mount_setattr(2) for the whole tree: the bits that it decides, and their value.
// The access-time setting is one field of three values, not a bit each: the kernel wants the whole
// field cleared when it is set.
struct AttributeWord {
  std::string_view word;
  std::uint64_t decides;
  std::uint64_t value;
};

constexpr std::array kAttributes = std::to_array<AttributeWord>({
    {"ratime", MOUNT_ATTR__ATIME, MOUNT_ATTR_RELATIME},
    {"rdev", MOUNT_ATTR_NODEV, 0},
    {"rdiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"rexec", MOUNT_ATTR_NOEXEC, 0},
    {"rnoatime", MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME},
    {"rnodev", MOUNT_ATTR_NODEV, MOUNT_ATTR_NODEV},
    {"rnodiratime", MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    {"rnoexec", MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOEXEC},
    {"rnorelatime", MOUNT_ATTR__ATIME, MOUNT_ATTR_RELATIME},
    {"rnostrictatime", MOUNT_ATTR__ATIME, MOUNT_ATTR_RELATIME},
    {"rnosuid", MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSUID},
    {"rnosymfollow", MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
    {"rrelatime", MOUNT_ATTR__ATIME, MOUNT_ATTR_RELATIME},
    {"rro", MOUNT_ATTR_RDONLY, MOUNT_ATTR_RDONLY},
    {"rrw", MOUNT_ATTR_RDONLY, 0},
    {"rstrictatime", MOUNT_ATTR__ATIME, MOUNT_ATTR_STRICTATIME},
    {"rsuid", MOUNT_ATTR_NOSUID, 0},
    {"rsymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
});

struct SwitchWord {
  std::string_view word;
  bool MountOptions::* target;
};

constexpr std::array kSwitches = std::to_array<SwitchWord>({
    {"idmap", &MountOptions::idmap},
    {"ridmap", &MountOptions::recursive_idmap},
    {"tmpcopyup", &MountOptions::tmpcopyup},
});

template <class Table>
auto find_word(const Table& table, std::string_view word) -> const typename Table::value_type* {
  for (const auto& row : table) {
    if (row.word == word) return &row;
  }
  return nullptr;
}

// Whether `word` is one of the table's; everything else is the file system's.
bool take_option(std::string_view word, MountOptions& out) {
  if (const auto* row = find_word(kFlags, word)) {
    if (row->clear) {
      out.flags &= ~row->flag;
      out.cleared |= row->flag;
    } else {
      out.flags |= row->flag;
      out.cleared &= ~row->flag;
    }
    return true;
  }
  if (const auto* row = find_word(kPropagations, word)) {
    out.propagation.push_back(row->flags);
    return true;
  }
  if (const auto* row = find_word(kAttributes, word)) {
    const std::uint64_t off = row->decides & ~row->value;
    const bool whole_field = row->decides == MOUNT_ATTR__ATIME;
    out.recursive_set = (out.recursive_set & ~row->decides) | row->value;
    out.recursive_clear =
        (out.recursive_clear & ~row->decides) | (whole_field ? row->decides : off);
    return true;
  }
  if (const auto* row = find_word(kSwitches, word)) {
    out.*(row->target) = true;
    return true;
  }
  return false;
}

}  // namespace

bool MountOptions::bind() const {
  return (flags & MS_BIND) != 0;
}
bool MountOptions::recursive_bind() const {
  return bind() && (flags & MS_REC) != 0;
}
bool MountOptions::read_only() const {
  return (flags & MS_RDONLY) != 0;
}

Result<MountOptions> parse_mount_options(std::span<const std::string> options) {
  constexpr std::size_t kLongestData = 4095;  // mount(2) copies one page, its NUL included
  MountOptions out;
  for (const std::string& option : options) {
    if (option.empty() || take_option(option, out)) continue;
    if (!out.data.empty()) out.data += ',';
    out.data += option;
    if (out.data.size() > kLongestData) {
      return fail(
          ErrorKind::invalid_argument,
          fmt::format("mount options for the file system have more than {} bytes", kLongestData));
    }
  }
  out.idmap = out.idmap || out.recursive_idmap;
  return out;
}

std::vector<std::string_view> known_mount_options() {
  std::vector<std::string_view> words;
  const auto add = [&words](const auto& table) {
    for (const auto& row : table) words.push_back(row.word);
  };
  add(kFlags);
  add(kPropagations);
  add(kAttributes);
  add(kSwitches);
  std::ranges::sort(words);
  return words;
}

}  // namespace agentvm::oci
