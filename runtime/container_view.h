// The mount namespace of a container's stand-in, for those who join it by the pid that engines know
// (`podman cp`, `nsenter --mount`): they must find the container there, not the host.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "runtime/guest_spec.h"

namespace agentvm::runtime {

// Lays the container's root, with its binds where they belong, over "/" of the calling process's
// mount namespace, which has to be its own. Who joins the namespace afterwards begins there
// (setns(2)); the caller and its children keep the root that they have. Mounts that only the guest
// has (tmpfs, proc) are not in it. `shared_dir` is what apply_share() has filled and the guest has
// at `guest_directory`; to be called once the guest has made its mount points.
[[nodiscard]] Result<void> show_container(const SharePlan& share, const std::string& shared_dir,
                                          const std::string& guest_directory = kGuestShared);

}  // namespace agentvm::runtime
