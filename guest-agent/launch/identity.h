// Who the process is and where it stands: process.user, process.cwd.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::guest {

// Gives fds 0, 1 and 2 to the user, so that opening /dev/stdout anew works; the group stays. What
// cannot change its owner stays as it is, and so does /dev/null.
[[nodiscard]] Result<void> give_stdio(const oci::User& user);

// Supplementary groups, gid, uid. umask as runc: 0022 when none is given.
[[nodiscard]] Result<void> become_user(const oci::User& user);

// Root of the user namespace that the caller is in, with no groups.
[[nodiscard]] Result<void> become_root();

// `chdir to cwd ("/x") set in config.json failed: not a directory`.
[[nodiscard]] Result<void> enter_cwd(const std::string& cwd);
// That the working directory is inside the root of this mount namespace (CVE-2024-21626).
[[nodiscard]] Result<void> check_cwd();

}  // namespace agentvm::guest
