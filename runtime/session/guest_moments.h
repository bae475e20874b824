// What the guest's agent tells of its own steps, on the host's clock.
#pragma once

#include "rpc/agent.pb.h"
#include "runtime/timings.h"

namespace agentvm::runtime {

// Marks them, counted back from now: called at once after the answer has come. Of a hostile guest's
// list the first few are taken; steps that we do not know are not.
void mark_guest(Timings& timings,
                const google::protobuf::RepeatedPtrField<agent::v1::GuestMoment>& moments);

}  // namespace agentvm::runtime
