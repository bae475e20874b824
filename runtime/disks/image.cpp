#include "runtime/disks/image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "oci/base/log.h"
#include "oci/base/remove_tree.h"
#include "oci/base/rollback.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "runtime/hook_process.h"
#include "vmm/file_pieces.h"

namespace agentvm::runtime {

namespace {

constexpr std::uint64_t kMib = std::uint64_t{1} << 20;
constexpr std::chrono::seconds kFormatPatience{120};
constexpr std::uint64_t kLargeMib = 4096;
constexpr mode_t kImageMode = 0600;

struct Directory {
  const char* name;
  mode_t mode;
};
constexpr std::array kDirectories{Directory{"docker", 0710}, Directory{"containerd", 0710},
                                  Directory{"upper", 0755}, Directory{"work", 0755}};

// What every new file system comes with, for mke2fs to copy.
Result<std::string> make_skeleton(int directory, const std::string& path) {
  const std::string name = "skeleton-" + hexadecimal(sys::random_bytes(8));
  if (::mkdirat(directory, name.c_str(), 0755) != 0) return fail_errno(errno, "make a directory");
  for (const Directory& entry : kDirectories) {
    const std::string below = name + "/" + entry.name;
    if (::mkdirat(directory, below.c_str(), 0755) != 0 ||
        ::fchmodat(directory, below.c_str(), entry.mode, 0) != 0) {
      return fail_errno(errno, "make a directory");
    }
  }
  return path + "/" + name;
}

// No resize_inode: nothing of it can grow, and its blocks are written. Inode tables and journal
// stay holes, which read as the zeros that they should be.
Result<void> format(const std::string& image, const std::string& skeleton, std::uint64_t size_mib) {
  HookCommand command;
  command.path = "/sbin/mke2fs";
  command.args = {"mke2fs",
                  "-q",
                  "-F",
                  "-t",
                  "ext4",
                  "-b",
                  "4096",
                  "-m",
                  "0",
                  "-O",
                  "^resize_inode",
                  "-E",
                  "lazy_itable_init=1,lazy_journal_init=1,nodiscard"};
  // Of a large disk mke2fs would make up to 1 GiB journal.
  if (size_mib >= kLargeMib) command.args.insert(command.args.end(), {"-J", "size=64"});
  command.args.insert(command.args.end(), {"-d", skeleton, image});
  command.env = {"LANG=C.UTF-8"};
  const auto null = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_RDONLY));
  command.input = null.get();
  command.timeout = kFormatPatience;
  const HookOutcome outcome =
      TRY(run_hook_process(command), "mke2fs, of package e2fsprogs, cannot be run");
  if (!outcome.timed_out && WIFEXITED(outcome.wait_status) &&
      WEXITSTATUS(outcome.wait_status) == 0) {
    return {};
  }
  return fail(ErrorKind::unavailable, fmt::format("mke2fs failed: {}", outcome.err));
}

Result<UniqueFd> make_sparse(int directory, const std::string& name, std::uint64_t size_mib) {
  auto file =
      TRY(sys::open_at(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, kImageMode));
  if (::ftruncate(file.get(), static_cast<off_t>(size_mib * kMib)) == 0) return file;
  const int errnum = errno;
  (void)::unlinkat(directory, name.c_str(), 0);
  return fail_errno(errnum, fmt::format("make a file of {} MiB", size_mib));
}

Result<void> make_template(int directory, const std::string& path, const std::string& name,
                           std::uint64_t size_mib) {
  const std::string fresh = name + ".new";
  (void)::unlinkat(directory, fresh.c_str(), 0);
  TRY(make_sparse(directory, fresh, size_mib));
  Rollback rollback;
  rollback.push([&] { (void)::unlinkat(directory, fresh.c_str(), 0); });
  const std::string skeleton = TRY(make_skeleton(directory, path));
  const auto formatted = format(path + "/" + fresh, skeleton, size_mib);
  std::error_code ignored;
  std::filesystem::remove_all(skeleton, ignored);
  TRY(formatted);
  if (::renameat(directory, fresh.c_str(), directory, name.c_str()) != 0) {
    return fail_errno(errno, "put the template in its place");
  }
  rollback.release();
  return {};
}

// One at a time makes it; the others wait.
Result<UniqueFd> open_template(const std::string& path, std::uint64_t size_mib) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) return fail_errno(code.value(), "make the directory");
  const auto directory = TRY(sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  if (::fchmod(directory.get(), 0700) != 0) return fail_errno(errno, "make it root's alone");
  const std::string name = fmt::format("template-{}.ext4", size_mib);
  if (auto made = sys::open_at(directory.get(), name, O_RDONLY | O_NOFOLLOW)) return made;
  if (::flock(directory.get(), LOCK_EX) != 0) return fail_errno(errno, "lock it");
  if (auto made = sys::open_at(directory.get(), name, O_RDONLY | O_NOFOLLOW)) return made;
  TRY(make_template(directory.get(), path, name, size_mib));
  return sys::open_at(directory.get(), name, O_RDONLY | O_NOFOLLOW);
}

Result<void> copy_image(int from, int to) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  const int failed = vmm::for_each_piece(from, [to](const char* data, std::size_t size, off_t at) {
    while (size > 0) {
      const ssize_t written = ::pwrite(to, data, size, at);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno;
      data += written;
      at += written;
      size -= static_cast<std::size_t>(written);
    }
    return 0;
  });
  if (failed != 0) return fail_errno(failed, "copy the template");
  return {};
}

void say_if_larger_than_host(int directory, const std::string& path, std::uint64_t size_mib) {
  struct statvfs space{};
  if (::fstatvfs(directory, &space) != 0) return;
  const std::uint64_t free_mib = std::uint64_t{space.f_bavail} * space.f_frsize / kMib;
  if (size_mib <= free_mib) return;
  log::info(
      "disk '{}' of {} MiB: the host has {} MiB left for it; a container that writes more "
      "gets errors",
      path, size_mib, free_mib);
}

Result<void> make_image(int directory, const DiskPlace& place, std::uint64_t size_mib,
                        const std::string& templates) {
  const auto from = TRY(open_template(templates, size_mib), "template of disks in '{}'", templates);
  const std::string fresh = fmt::format(".{}.{}", place.name, hexadecimal(sys::random_bytes(8)));
  const auto image = TRY(make_sparse(directory, fresh, size_mib));
  Rollback rollback;
  rollback.push([&] { (void)::unlinkat(directory, fresh.c_str(), 0); });
  TRY(copy_image(from.get(), image.get()));
  // Whoever was first has made it.
  if (::renameat2(directory, fresh.c_str(), directory, place.name.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST) return {};
    return fail_errno(errno, "put it in its place");
  }
  rollback.release();
  say_if_larger_than_host(directory, place.directory + "/" + place.name, size_mib);
  return {};
}

Result<UniqueFd> open_image(int directory, const std::string& name) {
  return sys::open_at(directory, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

Result<std::uint64_t> check_image(int image) {
  struct stat status{};
  if (::fstat(image, &status) != 0) return fail_errno(errno, "look at it");
  const bool plain = S_ISREG(status.st_mode) && status.st_nlink == 1 &&
                     status.st_uid == ::geteuid() && (status.st_mode & 0777) == kImageMode;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (!plain || size % kMib != 0 || size < kMinDiskMib * kMib) {
    return fail(ErrorKind::failed_precondition,
                "it is no image of a disk: remove it, if it is not needed");
  }
  return size / kMib;
}

Result<DiskImage> open_in(const DiskPlace& place, std::uint64_t size_mib,
                          const std::string& templates) {
  const auto directory = TRY(sys::open_at(AT_FDCWD, place.directory, O_RDONLY | O_DIRECTORY));
  auto opened = open_image(directory.get(), place.name);
  if (!opened && opened.error().errnum == ENOENT) {
    TRY(make_image(directory.get(), place, size_mib, templates));
    opened = open_image(directory.get(), place.name);
  }
  DiskImage image;
  image.fd = TRY(std::move(opened));
  image.path = place.directory + "/" + place.name;
  image.size_mib = TRY(check_image(image.fd.get()));
  if (::flock(image.fd.get(), LOCK_EX | LOCK_NB) == 0) return image;
  if (errno != EWOULDBLOCK) return fail_errno(errno, "lock it");
  return fail(ErrorKind::failed_precondition, "another container has it");
}

// Docker takes "no such file or directory" for a missing program of the container.
Error our_own(Error error) {
  if (error.errnum != ENOENT) return error;
  error.errnum = 0;
  error.message += ": ENOENT";
  return error;
}

}  // namespace

Result<DiskImage> open_disk(const DiskPlace& place, std::uint64_t size_mib,
                            const std::string& templates) {
  if (!place.lasting) {
    std::error_code code;
    std::filesystem::create_directories(place.directory, code);
    if (code) return fail_errno(code.value(), fmt::format("make '{}'", place.directory));
  }
  auto image = open_in(place, size_mib, templates);
  if (image) return image;
  return std::unexpected(our_own(std::move(image).error())
                             .wrap(fmt::format("disk '{}/{}'", place.directory, place.name)));
}

Result<std::uint64_t> used_mib(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return fail_errno(errno, fmt::format("disk '{}'", path));
  constexpr std::uint64_t kBlock = 512;  // stat(2)
  return (static_cast<std::uint64_t>(status.st_blocks) * kBlock + kMib - 1) / kMib;
}

}  // namespace agentvm::runtime
