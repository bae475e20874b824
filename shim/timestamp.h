// Times as containerd writes them.
#pragma once

#include <chrono>

#include "rpc/containerd/types.pb.h"

namespace agentvm::shim {

using TimePoint = std::chrono::system_clock::time_point;

[[nodiscard]] inline containerd::types::Timestamp to_timestamp(TimePoint time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  containerd::types::Timestamp out;
  out.set_seconds(seconds.count());
  out.set_nanos(static_cast<std::int32_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds).count()));
  return out;
}

}  // namespace agentvm::shim
