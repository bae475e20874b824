// A profile cannot name the system calls that came after it was written. With an error as its
// default they would fail with EPERM, which C libraries take for an answer: they fall back to an
// older call on ENOSYS only. So calls with a number above every one that the profile names for an
// architecture get ENOSYS (runc's patchbpf; Docker's profiles are written against it).
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include "oci/spec.h"

namespace agentvm::oci {

// Instructions to go before a filter. `archs` are libseccomp's tokens.
[[nodiscard]] std::vector<sock_filter> refuse_newer_calls(std::span<const std::uint32_t> archs,
                                                          const Seccomp& seccomp);

}  // namespace agentvm::oci
