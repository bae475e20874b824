// A verdict kept on disk, for probe_kvm_cached() and its tests.
#pragma once

#include <functional>
#include <string>

#include "vmm/accelerator.h"

namespace agentvm::vmm {

// The verdict on `device` that `cache_dir` holds, otherwise what `probe` says, kept if lasting.
[[nodiscard]] KvmProbe kept_or_probed(const std::string& device, const std::string& cache_dir,
                                      const std::function<KvmProbe()>& probe);

}  // namespace agentvm::vmm
