#include "runtime/session/guest_moments.h"

#include <algorithm>

namespace agentvm::runtime {

namespace {

constexpr int kMost = 16;

// "" for what is no step of a start.
std::string name_of(agent::v1::GuestStep step) {
  switch (step) {
    case agent::v1::GUEST_STEP_VSOCK_FOUND:
      return "guest: vsock device found";
    case agent::v1::GUEST_STEP_SHARE_FOUND:
      return "guest: shared directory found";
    case agent::v1::GUEST_STEP_DIALED:
      return "guest: host dialed";
    case agent::v1::GUEST_STEP_CONFIGURING:
      return "guest: Configure received";
    case agent::v1::GUEST_STEP_CREATING:
      return "guest: CreateContainer received";
    case agent::v1::GUEST_STEP_SPEC_PARSED:
      return "guest: spec parsed";
    case agent::v1::GUEST_STEP_STORAGES_MOUNTED:
      return "guest: shared directory mounted";
    case agent::v1::GUEST_STEP_CGROUP_MADE:
      return "guest: cgroup made";
    case agent::v1::GUEST_STEP_UNSPECIFIED:
    case agent::v1::GuestStep_INT_MIN_SENTINEL_DO_NOT_USE_:
    case agent::v1::GuestStep_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return "";
}

}  // namespace

void mark_guest(Timings& timings,
                const google::protobuf::RepeatedPtrField<agent::v1::GuestMoment>& moments) {
  constexpr std::uint64_t kMicrosecond = 1000;
  const std::uint64_t now = monotonic_ns();
  for (int i = 0; i < std::min(moments.size(), kMost); ++i) {
    const std::string name = name_of(moments[i].step());
    const std::uint64_t at = now - std::min(now, moments[i].before_us() * kMicrosecond);
    // A guest that waited has done some long before.
    if (!name.empty() && at >= timings.begin_ns()) timings.mark_at(name, at);
  }
}

}  // namespace agentvm::runtime
