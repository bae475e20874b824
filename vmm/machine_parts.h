// The three processes of a machine as values: for each its command line and its jail.
#pragma once

#include <sys/types.h>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "vmm/jail.h"
#include "vmm/machine.h"

namespace agentvm::vmm {

// The ends of a machine's wires. "theirs" are inherited by the parts and closed here after that.
struct MachineWires {
  UniqueFd qmp_ours;
  UniqueFd qmp_theirs;
  UniqueFd console_ours;
  UniqueFd console_theirs;
  UniqueFd errors_ours;  // the parts' stdout and stderr, all in one pipe
  UniqueFd errors_theirs;
  UniqueFd vsock_qemu;  // vhost-user, both ends theirs
  UniqueFd vsock_backend;
  UniqueFd vsock_listener;  // "vsock.sock"
  UniqueFd shared_qemu;     // vhost-user, connected to the next
  UniqueFd shared_listener;
};

// The name of the hybrid vsock's socket in MachineConfig::socket_dir.
inline constexpr const char* kVsockSocket = "vsock.sock";

// Leaves "vsock.sock" in the socket directory, nothing else. With `make_template` there are no
// wires to backends.
[[nodiscard]] Result<MachineWires> make_wires(const MachineConfig& config);

// Lets `owner` (uid and gid alike) go through the directory and connect to its "vsock.sock_N".
[[nodiscard]] Result<void> lend_socket_dir(int socket_dir, uid_t owner);

// QEMU of the machine, with its file descriptors and files as its jail has them.
[[nodiscard]] QemuDescription describe_qemu(const MachineConfig& config);

// `monitor` is the calling process, from which the parts' uids come.
[[nodiscard]] Result<JailSpec> qemu_part(const MachineConfig& config, const MachineWires& wires,
                                         pid_t monitor);
[[nodiscard]] Result<JailSpec> virtiofsd_part(const MachineConfig& config,
                                              const MachineWires& wires);
[[nodiscard]] Result<JailSpec> vsock_part(const MachineConfig& config, const MachineWires& wires,
                                          pid_t monitor);

// The uids of jailed parts.
[[nodiscard]] uid_t qemu_uid(pid_t monitor);
[[nodiscard]] uid_t vsock_uid(pid_t monitor);

}  // namespace agentvm::vmm
