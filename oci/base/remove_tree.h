// Removing what lies in a directory of ours, whatever somebody put there: beneath an open
// directory, by name, symlinks themselves and never what they point to, never across a mount.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm {

// The names in `dir`, "." and ".." left out, in no order.
[[nodiscard]] Result<std::vector<std::string>> list_names(int dir);

// The entries of `dir` and everything below them, except those named in `keep`. What is gone
// already is fine. failed_precondition (EBUSY) at a mount point.
[[nodiscard]] Result<void> remove_contents(int dir, const std::vector<std::string_view>& keep = {});

// The entry `name` of `parent`, with everything below it; fine when there is none.
[[nodiscard]] Result<void> remove_entry(int parent, const std::string& name);

}  // namespace agentvm
