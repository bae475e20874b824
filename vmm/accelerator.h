// Which accelerator a VM runs on. KVM only when a probe guest proves that it runs kernel code
// natively: a /dev/kvm that opens is no proof (there are KVMs that emulate guest kernels and fail
// on cmpxchg16b, xrstor or int3 at CPL 0). Never a silent downgrade: the verdict says why.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::vmm {

enum class Accelerator : std::uint8_t { kvm, tcg };

// What the configuration asks for: "auto", "kvm" (fail when unusable) or "tcg".
enum class AcceleratorChoice : std::uint8_t { automatic, kvm, tcg };

struct KvmProbe {
  bool usable = false;
  std::string reason;  // one sentence, for `agentvm check` and the log; set either way
  double seconds = 0;
  // The guest ran to its end, or the device cannot run one: asking again gives the same answer.
  bool lasting = false;
};

// Runs the probe guest against `kvm_device` ("/dev/kvm"). Bounded: a guest that does not finish
// in 200 ms is unusable. Leaves nothing behind.
[[nodiscard]] KvmProbe probe_kvm(const std::string& kvm_device);

// The probe's verdict cached per boot in `cache_dir` (key: boot_id and the device's identity), so
// that only the first container after a boot pays for it. Only lasting verdicts are kept; a damaged
// cache, or one that others may write, is ignored and replaced.
[[nodiscard]] KvmProbe probe_kvm_cached(const std::string& kvm_device,
                                        const std::string& cache_dir);

struct AcceleratorVerdict {
  Accelerator accelerator = Accelerator::tcg;
  std::string reason;
};

// unavailable when `kvm` is asked for and unusable.
[[nodiscard]] Result<AcceleratorVerdict> decide_accelerator(AcceleratorChoice choice,
                                                            const KvmProbe& probe);

[[nodiscard]] std::string_view name_of(Accelerator accelerator);  // "kvm", "tcg"
[[nodiscard]] Result<AcceleratorChoice> parse_accelerator_choice(std::string_view word);

// The host's TSC frequency in kHz: CPUID 15h/16h, KVM_GET_TSC_KHZ where KVM opens, otherwise
// measured against CLOCK_MONOTONIC_RAW (about 10 ms). 0 when there is no invariant TSC.
[[nodiscard]] std::uint64_t host_tsc_khz();

}  // namespace agentvm::vmm
