#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "oci/base/remove_tree.h"
#include "oci/base/rollback.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "vmm/machine_parts.h"

namespace agentvm::vmm {

namespace {

// virtiofsd wants a listening socket. It has a name only until QEMU's end is connected.
constexpr const char* kSharedSocket = "virtiofs.sock";

Result<void> pair(UniqueFd& one, UniqueFd& other) {
  auto [first, second] = TRY(sys::socket_pair(SOCK_STREAM));
  one = std::move(first);
  other = std::move(second);
  return {};
}

Result<void> connect_shared(int directory, MachineWires& wires) {
  wires.shared_listener = TRY(sys::listen_unix_at(directory, kSharedSocket, 0600));
  // The connection waits in the listener's queue until virtiofsd accepts it.
  auto connected = sys::connect_unix_at(directory, kSharedSocket);
  (void)::unlinkat(directory, kSharedSocket, 0);
  wires.shared_qemu = TRY(std::move(connected));
  return {};
}

}  // namespace

Result<MachineWires> make_wires(const MachineConfig& config) {
  MachineWires wires;
  TRY(pair(wires.qmp_ours, wires.qmp_theirs));
  TRY(pair(wires.console_ours, wires.console_theirs));
  auto [read_end, write_end] = TRY(sys::pipe());
  wires.errors_ours = std::move(read_end);
  wires.errors_theirs = std::move(write_end);
  if (config.start == MachineStart::make_template) return wires;
  TRY(pair(wires.vsock_qemu, wires.vsock_backend));
  TRY(connect_shared(config.socket_dir, wires), "connect QEMU to virtiofsd");
  wires.vsock_listener = TRY(sys::listen_unix_at(config.socket_dir, kVsockSocket, 0600));
  return wires;
}

Result<void> lend_socket_dir(int socket_dir, uid_t owner) {
  const auto directory = TRY(sys::open_at(socket_dir, ".", O_RDONLY | O_DIRECTORY));
  const int fd = directory.get();
  struct stat status{};
  if (::fstat(fd, &status) != 0 || ::fchown(fd, static_cast<uid_t>(-1), owner) != 0 ||
      ::fchmod(fd, (status.st_mode & 07777) | S_IXGRP) != 0) {
    return fail_errno(errno, "let the vsock backend into the socket directory");
  }
  const std::string prefix = std::string(kVsockSocket) + "_";
  for (const std::string& name : TRY(list_names(fd))) {
    if (!name.starts_with(prefix)) continue;
    if (::fchownat(fd, name.c_str(), owner, owner, AT_SYMLINK_NOFOLLOW) != 0) {
      return fail_errno(errno, fmt::format("give '{}' to the vsock backend", name));
    }
  }
  return {};
}

}  // namespace agentvm::vmm
