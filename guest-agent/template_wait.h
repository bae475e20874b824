// The guest of a template: booted and waiting for what only a restored copy of it gets. Nothing
// that must differ between copies may be made before that (random numbers, ids, the clock): the
// first request of the host brings it, see configure.h.
#pragma once

#include "guest-agent/moments.h"
#include "guest-agent/reaper.h"
#include "oci/base/async.h"

namespace agentvm::guest {

// Makes the guest's memory small, says on the console that it can be saved, and ends in the copy,
// when the vsock device and the virtiofs share have been plugged and their drivers bound. Both are
// marked. The arguments outlive the task.
[[nodiscard]] Task<void> wait_to_be_restored(Reaper& reaper, Moments& moments);

}  // namespace agentvm::guest
