// Elapsed time of a process's own steps.
#pragma once

#include <chrono>
#include <cstdint>

namespace agentvm {

class Stopwatch {
 public:
  using Clock = std::chrono::steady_clock;

  // Microseconds since the object was made.
  [[nodiscard]] std::uint32_t us() const {
    const auto passed = Clock::now() - begin_;
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(passed).count());
  }

 private:
  Clock::time_point begin_ = Clock::now();
};

}  // namespace agentvm
