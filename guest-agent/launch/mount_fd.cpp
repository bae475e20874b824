#include "guest-agent/launch/mount_fd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "guest-agent/launch/in_root.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// What fsopen(2)'s descriptor has to say after a failure: lines like "e tmpfs: Bad value".
std::string last_message(int context) {
  std::array<char, 512> line{};
  std::string last;
  for (;;) {
    const ssize_t size = ::read(context, line.data(), line.size());
    if (size <= 0) return last;
    std::string_view text(line.data(), static_cast<std::size_t>(size));
    if (text.size() > 2) text.remove_prefix(2);
    last.assign(text.substr(0, text.find('\n'))).append(": ");
  }
}

std::unexpected<Error> fail_context(int context, std::string_view doing) {
  const int errnum = errno;
  std::string said = last_message(context);
  if (said.ends_with(": ")) said.resize(said.size() - 2);
  return fail_errno(errnum, said.empty() ? std::string(doing) : fmt::format("{}: {}", doing, said));
}

Result<void> set_option(int context, const std::string& option) {
  const std::size_t equals = option.find('=');
  const std::string key = option.substr(0, equals);
  int outcome = 0;
  if (equals == option.npos) {
    outcome = ::fsconfig(context, FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0);
  } else {
    const std::string value = option.substr(equals + 1);
    outcome = ::fsconfig(context, FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0);
  }
  if (outcome != 0) return fail_context(context, fmt::format("option '{}'", option));
  return {};
}

Result<void> set_options(int context, std::string_view data) {
  while (!data.empty()) {
    const std::size_t comma = std::min(data.find(','), data.size());
    if (comma > 0) TRY(set_option(context, std::string(data.substr(0, comma))));
    data.remove_prefix(std::min(comma + 1, data.size()));
  }
  return {};
}

struct SuperblockFlag {
  unsigned long flag;
  const char* option;
};
constexpr std::array kSuperblockFlags = std::to_array<SuperblockFlag>({
    {MS_SYNCHRONOUS, "sync"},
    {MS_DIRSYNC, "dirsync"},
    {MS_LAZYTIME, "lazytime"},
    {MS_MANDLOCK, "mand"},
});

struct AttributeFlag {
  unsigned long flag;
  std::uint64_t attribute;
};
constexpr std::array kAttributeFlags = std::to_array<AttributeFlag>({
    {MS_RDONLY, MOUNT_ATTR_RDONLY},
    {MS_NOSUID, MOUNT_ATTR_NOSUID},
    {MS_NODEV, MOUNT_ATTR_NODEV},
    {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
    {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    {MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
});

}  // namespace

Result<UniqueFd> clone_tree(int dirfd, const std::string& path, bool recursive) {
  // With automounts: what lies on a file system of its own on the host is one of virtiofs's submounts
  // here, and a clone of the directory below it would be covered by it at the next look.
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (recursive) flags |= AT_RECURSIVE;
  if (path.empty()) flags |= AT_EMPTY_PATH;
  const int fd = ::open_tree(dirfd, path.c_str(), flags);
  if (fd < 0) return fail_errno(errno, fmt::format("open '{}'", path));
  return UniqueFd(fd);
}

Result<UniqueFd> new_mount(const Filesystem& filesystem) {
  const UniqueFd context(::fsopen(filesystem.type.c_str(), FSOPEN_CLOEXEC));
  if (!context) return fail_errno(errno, fmt::format("file system '{}'", filesystem.type));
  if (!filesystem.source.empty()) TRY(set_option(context.get(), "source=" + filesystem.source));
  if (filesystem.read_only) TRY(set_option(context.get(), "ro"));
  for (const auto& [flag, option] : kSuperblockFlags) {
    if ((filesystem.sb_flags & flag) != 0) TRY(set_option(context.get(), option));
  }
  TRY(set_options(context.get(), filesystem.data));
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return fail_context(context.get(), "make the file system");
  }
  const int fd = ::fsmount(context.get(), FSMOUNT_CLOEXEC, 0);
  if (fd < 0) return fail_context(context.get(), "make the mount");
  return UniqueFd(fd);
}

MountAttributes attributes_of(const oci::MountOptions& options) {
  MountAttributes attributes;
  for (const auto& [flag, attribute] : kAttributeFlags) {
    if ((options.flags & flag) != 0) attributes.set |= attribute;
    if ((options.cleared & flag) != 0) attributes.clear |= attribute;
  }
  // The access time is one field of three values, which the kernel wants cleared as a whole.
  const auto atime = [&](std::uint64_t value) {
    attributes.clear |= MOUNT_ATTR__ATIME;
    attributes.set |= value;
  };
  if ((options.flags & MS_NOATIME) != 0) {
    atime(MOUNT_ATTR_NOATIME);
  } else if ((options.flags & MS_STRICTATIME) != 0) {
    atime(MOUNT_ATTR_STRICTATIME);
  } else if (((options.flags | options.cleared) & MS_RELATIME) != 0 ||
             (options.cleared & (MS_NOATIME | MS_STRICTATIME)) != 0) {
    atime(MOUNT_ATTR_RELATIME);
  }
  return attributes;
}

Result<void> set_attributes(int mount_fd, MountAttributes attributes, bool recursive) {
  if (attributes == MountAttributes{}) return {};
  mount_attr attr{};
  attr.attr_set = attributes.set;
  attr.attr_clr = attributes.clear;
  const unsigned flags = recursive ? AT_EMPTY_PATH | AT_RECURSIVE : AT_EMPTY_PATH;
  if (::mount_setattr(mount_fd, "", flags, &attr, sizeof attr) != 0) {
    return fail_errno(errno, "set the mount's attributes");
  }
  return {};
}

Result<void> set_propagation(int mount_fd, unsigned long propagation) {
  mount_attr attr{};
  attr.propagation = propagation & ~static_cast<unsigned long>(MS_REC);
  const bool recursive = (propagation & MS_REC) != 0;
  const unsigned flags = recursive ? AT_EMPTY_PATH | AT_RECURSIVE : AT_EMPTY_PATH;
  if (::mount_setattr(mount_fd, "", flags, &attr, sizeof attr) != 0) {
    return fail_errno(errno, "set the mount's propagation");
  }
  return {};
}

Result<void> attach(int mount_fd, int place_fd) {
  if (::move_mount(mount_fd, "", place_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) !=
      0) {
    return fail_errno(errno, "mount");
  }
  return {};
}

Result<void> attach_file(int mount_fd, int root_fd, const std::string& path) {
  auto place = TRY(make_place(root_fd, path, PlaceKind::file));
  if (filesystem_magic(place.fd.get()) == PROC_SUPER_MAGIC) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("\"{}\" cannot be mounted because it is inside /proc", path));
  }
  return attach(mount_fd, place.fd.get());
}

std::uint64_t filesystem_magic(int fd) {
  struct statfs fs{};
  return ::fstatfs(fd, &fs) == 0 ? static_cast<std::uint64_t>(fs.f_type) : 0;
}

}  // namespace agentvm::guest
