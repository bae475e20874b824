// Which directories of the host a sandbox may be given.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "sandbox/store/record.h"

namespace agentvm::sandbox {

// What must not be seen from inside, resolved: itself, what holds it, and for `secrets` what is in
// it too.
struct Protected {
  std::vector<std::string> directories;  // Docker's socket's, the sandboxes' own, the user's home
  std::vector<std::string> secrets;      // ~/.ssh and the like
};
[[nodiscard]] Protected protected_directories(const Place& place, const std::string& socket);

// "PATH", "PATH:ro", "PATH:rw": a directory that is there, without links in its path.
// invalid_argument says why it is refused.
[[nodiscard]] Result<Workspace> parse_workspace(std::string_view text, const Protected& hidden);

// "claude-web" of agent "claude" and /home/x/Web: what a name may not have becomes '-'.
[[nodiscard]] std::string default_name(std::string_view agent, const std::string& workspace);

}  // namespace agentvm::sandbox
