// When the steps of a start were done in the guest, to be told with an answer (agent.proto).
#pragma once

#include <chrono>
#include <utility>
#include <vector>

#include "rpc/agent.pb.h"

namespace agentvm::guest {

class Moments {
 public:
  using Clock = std::chrono::steady_clock;
  using Told = google::protobuf::RepeatedPtrField<agent::v1::GuestMoment>;

  void mark(agent::v1::GuestStep step) { marks_.emplace_back(step, Clock::now()); }

  // All so far, counted back from now; none of them is told again.
  void tell(Told& told) {
    const auto now = Clock::now();
    for (const auto& [step, at] : std::exchange(marks_, {})) {
      agent::v1::GuestMoment& moment = *told.Add();
      moment.set_step(step);
      moment.set_before_us(static_cast<std::uint32_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(now - at).count()));
    }
  }

 private:
  std::vector<std::pair<agent::v1::GuestStep, Clock::time_point>> marks_;
};

}  // namespace agentvm::guest
