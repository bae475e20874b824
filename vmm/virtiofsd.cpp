#include "vmm/virtiofsd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <string_view>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::vmm {

namespace {

constexpr std::string_view kHelpOfC = "-o source=PATH";
constexpr std::string_view kHelpOfRust = "--shared-dir <SHARED_DIR>";

bool holds(std::string_view bytes, std::string_view text) {
  return ::memmem(bytes.data(), bytes.size(), text.data(), text.size()) != nullptr;
}

std::unexpected<Error> unknown(const std::string& program) {
  return fail(ErrorKind::unavailable,
              fmt::format("'{}' is no virtiofsd that agentvm knows (vm.virtiofsd): install "
                          "virtiofsd 1.x, or qemu-system-common on Debian 12",
                          program));
}

// Local locks: one guest is the only user of its files, and the C daemon's remote ones cannot wait.
// Handles of inodes never: with them, whoever takes the daemon over opens any file of the host's
// file system. Mount points are announced, so that the guest sees distinct st_dev. The guest keeps
// what it has read until it learns, at most a second later, that the file has changed
// (docs/decisions/0002-file-cache.md); the Rust daemon has no such mode, its `auto` reads again at
// every open.
std::vector<std::string> argv_of_c(const VirtiofsdDescription& description) {
  return {description.program,
          fmt::format("--fd={}", description.listen_fd),
          "-f",
          "--rlimit-nofile=0",
          "--thread-pool-size=0",
          "-o",
          "source=" + description.shared_dir,
          "-o",
          "sandbox=namespace",
          "-o",
          "cache=always,timeout=1,xattr,announce_submounts,no_writeback,no_flock,no_posix_lock",
          "-o",
          "log_level=warn"};
}

std::vector<std::string> argv_of_rust(const VirtiofsdDescription& description) {
  return {description.program,    fmt::format("--fd={}", description.listen_fd),
          "--shared-dir",         description.shared_dir,
          "--sandbox=namespace",  "--seccomp=kill",
          "--cache=auto",         "--xattr",
          "--announce-submounts", "--inode-file-handles=never",
          "--rlimit-nofile=0",    "--thread-pool-size=0",
          "--log-level=warn"};
}

}  // namespace

Result<VirtiofsdDialect> detect_virtiofsd(const std::string& program) {
  auto fd = sys::open_at(AT_FDCWD, program, O_RDONLY);
  struct stat status{};
  if (!fd || ::fstat(fd->get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) {
    return unknown(program);
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* map = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd->get(), 0);
  if (map == MAP_FAILED) return unknown(program);
  const std::string_view bytes(static_cast<const char*>(map), size);
  const bool c = holds(bytes, kHelpOfC);
  const bool rust = !c && holds(bytes, kHelpOfRust);
  (void)::munmap(map, size);
  if (c) return VirtiofsdDialect::c;
  if (rust) return VirtiofsdDialect::rust;
  return unknown(program);
}

Result<std::vector<std::string>> virtiofsd_argv(const VirtiofsdDescription& description) {
  switch (description.dialect) {
    case VirtiofsdDialect::c:
      if (description.shared_dir.find(',') != std::string::npos) {
        return fail(ErrorKind::invalid_argument,
                    fmt::format("'{}' cannot be shared: Debian 12's virtiofsd takes no ',' in a "
                                "directory's name",
                                description.shared_dir));
      }
      return argv_of_c(description);
    case VirtiofsdDialect::rust:
      return argv_of_rust(description);
  }
  return unknown(description.program);
}

std::uint64_t virtiofsd_capabilities() {
  constexpr unsigned kKept[] = {
      // What it does for the guest: the owners and modes of files.
      CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETGID, CAP_SETUID, CAP_MKNOD,
      CAP_SETFCAP,
      // What it sets itself up with and drops: namespaces and mounts, its bounding set.
      CAP_SYS_ADMIN, CAP_SETPCAP};
  std::uint64_t bits = 0;
  for (const unsigned capability : kKept) bits |= std::uint64_t{1} << capability;
  return bits;
}

}  // namespace agentvm::vmm
