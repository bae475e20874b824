// The frequency of the host's time stamp counter, which a TCG guest's rdtsc shows unchanged.
#include <cpuid.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <time.h>
#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <limits>

#include "oci/base/unique_fd.h"
#include "vmm/accelerator.h"

namespace agentvm::vmm {

namespace {

struct Leaf {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
};

Leaf cpuid(unsigned number) {
  Leaf leaf;
  (void)__get_cpuid_count(number, 0, &leaf.eax, &leaf.ebx, &leaf.ecx, &leaf.edx);
  return leaf;
}

bool has_invariant_tsc() {
  constexpr unsigned kInvariantTsc = 1U << 8;
  return (cpuid(0x80000007).edx & kInvariantTsc) != 0;
}

// CPUID leaf 15h (Intel SDM vol. 2): crystal * ebx / eax. Leaf 16h is the marketed frequency, some
// tenths of a percent off: measured is better.
std::uint64_t khz_from_cpuid() {
  constexpr std::uint64_t kHzPerKhz = 1000;
  const Leaf leaf = cpuid(0x15);
  if (leaf.eax == 0 || leaf.ebx == 0 || leaf.ecx == 0) return 0;
  return std::uint64_t{leaf.ecx} * leaf.ebx / leaf.eax / kHzPerKhz;
}

// What the host's kernel goes by; wants a vCPU to ask.
std::uint64_t khz_from_kvm() {
  const UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm || ::ioctl(kvm.get(), KVM_CHECK_EXTENSION, KVM_CAP_GET_TSC_KHZ) <= 0) return 0;
  const UniqueFd vm(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
  if (!vm) return 0;
  const UniqueFd vcpu(::ioctl(vm.get(), KVM_CREATE_VCPU, 0));
  if (!vcpu) return 0;
  const int khz = ::ioctl(vcpu.get(), KVM_GET_TSC_KHZ, 0);
  return khz > 0 ? static_cast<std::uint64_t>(khz) : 0;
}

struct Instant {
  std::uint64_t ticks = 0;
  std::int64_t ns = 0;
};

// The clock read between two reads of the counter, of several tries the one that was disturbed
// least.
Instant read_both() {
  constexpr int kTries = 16;
  constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  Instant best;
  std::uint64_t shortest = std::numeric_limits<std::uint64_t>::max();
  for (int i = 0; i < kTries; ++i) {
    timespec now{};
    const std::uint64_t before = __rdtsc();
    (void)::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    const std::uint64_t after = __rdtsc();
    if (after - before >= shortest) continue;
    shortest = after - before;
    best = {before + (after - before) / 2, now.tv_sec * kNsPerSecond + now.tv_nsec};
  }
  return best;
}

std::uint64_t khz_measured() {
  constexpr timespec kWhile{0, 10'000'000};
  constexpr std::uint64_t kNsPerMs = 1'000'000;
  const Instant begin = read_both();
  (void)::nanosleep(&kWhile, nullptr);
  const Instant end = read_both();
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(end.ns - begin.ns, 1));
  return (end.ticks - begin.ticks) * kNsPerMs / ns;
}

}  // namespace

std::uint64_t host_tsc_khz() {
  if (!has_invariant_tsc()) return 0;
  if (const std::uint64_t khz = khz_from_cpuid(); khz != 0) return khz;
  if (const std::uint64_t khz = khz_from_kvm(); khz != 0) return khz;
  return khz_measured();
}

}  // namespace agentvm::vmm
