// What this host offers a VM: found out once per boot, kept in a cache below /run.
#pragma once

#include <cstdint>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "runtime/config.h"
#include "vmm/accelerator.h"

namespace agentvm::runtime {

// Facts of the host that are costly to find out, good until it reboots. Made with mode 0700.
inline constexpr const char* kHostCache = "/run/agentvm-host";

// Opens it. failed_precondition when it is not the caller's alone to write.
[[nodiscard]] Result<UniqueFd> open_host_cache();

// Probes KVM (unless the configuration asks for tcg) and decides. unavailable when the
// configuration asks for kvm and it cannot be used.
[[nodiscard]] Result<vmm::AcceleratorVerdict> choose_accelerator(const Config& config);

// vmm::host_tsc_khz(), measured once per boot. 0 when unknown. Never fails: a cache that cannot
// be used is passed over.
[[nodiscard]] std::uint64_t cached_tsc_khz();

}  // namespace agentvm::runtime
