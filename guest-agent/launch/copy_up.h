// runc's mount option `tmpcopyup`: a tmpfs starts with what the image has at its place.
#pragma once

#include "oci/base/error.h"

namespace agentvm::guest {

// Copies what is in the directory `from` (may be O_PATH) into the directory `to`: files, links,
// directories and fifos with owner, mode and modification time. Nothing else is copied, no symlink
// is followed, no mount crossed.
[[nodiscard]] Result<void> copy_up(int from, int to);

}  // namespace agentvm::guest
