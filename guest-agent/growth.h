// vCPUs and memory that the host has plugged into the running guest, taken into use. The kernel
// waits for its user space with both: a new vCPU is offline, and the memory device, in a slot of
// its own, is found when somebody looks. docs/decisions/0005-growing.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "guest-agent/reaper.h"
#include "oci/base/async.h"
#include "rpc/agent.pb.h"

namespace agentvm::guest {

// How many CPUs a list of the kernel's names: "0-3,5\n". nullopt: it is none.
[[nodiscard]] std::optional<std::uint32_t> count_cpu_list(std::string_view list);
// MemTotal of /proc/meminfo, in KiB.
[[nodiscard]] std::optional<std::uint64_t> total_memory_kib(std::string_view meminfo);

class GuestGrowth {
 public:
  // The reaper outlives it.
  explicit GuestGrowth(Reaper& reaper) : reaper_(reaper) {}

  // invalid_argument past the limits of agent.proto; not_found where the kernel has no driver for
  // it. What is late is no error: the answer tells what is in use.
  [[nodiscard]] Task<agent::v1::GrowGuestResponse> grow(agent::v1::GrowGuestRequest request);

 private:
  [[nodiscard]] Task<void> find_memory();
  [[nodiscard]] Task<void> start_vcpus();
  [[nodiscard]] Result<agent::v1::GrowGuestResponse> in_use() const;

  Reaper& reaper_;
  std::optional<std::uint64_t> start_kib_;  // MemTotal before any memory was plugged
  bool memory_found_ = false;
};

}  // namespace agentvm::guest
