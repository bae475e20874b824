// Where a container's start spent its time: named moments of the command and of the monitor, on the
// host's monotonic clock, for `agentvm run --timings` and the annotation io.agentvm.timings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::runtime {

// "true": create logs the table. Any bundle may carry it.
inline constexpr const char* kTimingsAnnotation = "io.agentvm.timings";

struct Moment {
  std::string name;         // what had just been done: "QEMU answers"
  std::uint64_t at_ns = 0;  // CLOCK_MONOTONIC
  friend bool operator==(const Moment&, const Moment&) = default;
};

class Timings {
 public:
  // Begins now.
  Timings();

  [[nodiscard]] std::uint64_t begin_ns() const { return begin_ns_; }
  void mark(std::string name);
  void mark_at(std::string name, std::uint64_t at_ns);
  // Takes over moments that another process wrote with encode().
  [[nodiscard]] Result<void> take(std::string_view encoded);
  [[nodiscard]] std::string encode() const;

  // In the order in which they happened.
  [[nodiscard]] const std::vector<Moment>& moments() const { return moments_; }
  // A line each: milliseconds since the beginning, milliseconds since the line before, name.
  [[nodiscard]] std::string table() const;

 private:
  std::uint64_t begin_ns_;
  std::vector<Moment> moments_;
};

[[nodiscard]] std::uint64_t monotonic_ns();

}  // namespace agentvm::runtime
