// virtiofsd, the file system backend, in its two dialects. It needs root's file capabilities (the
// guest's files keep their owners) and builds its own sandbox around the shared directory before
// it looks at anything of the guest's; our jail adds to that (vmm/jail.h).
#pragma once

#include <cstdint>
#include <string>

#include "oci/base/error.h"
#include "vmm/jail.h"

namespace agentvm::vmm {

enum class VirtiofsdDialect : std::uint8_t {
  c,     // of QEMU 5.0 to 7.2: Debian 12
  rust,  // the virtio-fs project's: Debian 13
};

// Told by the program's own help text, which is looked for in its file: running it would cost more
// than the rest of a machine's set-up. unavailable when it is neither.
[[nodiscard]] Result<VirtiofsdDialect> detect_virtiofsd(const std::string& program);

struct VirtiofsdDescription {
  std::string program;
  VirtiofsdDialect dialect = VirtiofsdDialect::c;
  std::string shared_dir;
  int listen_fd = -1;  // in its own table: listening, of the vhost-user socket
  friend bool operator==(const VirtiofsdDescription&, const VirtiofsdDescription&) = default;
};

// invalid_argument for a directory name that the C dialect's option syntax cannot carry (a comma).
[[nodiscard]] Result<std::vector<std::string>> virtiofsd_argv(
    const VirtiofsdDescription& description);

// Capabilities that it keeps: those that it gives its worker, and those with which it builds the
// sandbox and then gives up the rest.
[[nodiscard]] std::uint64_t virtiofsd_capabilities();

}  // namespace agentvm::vmm
