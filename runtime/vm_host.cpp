#include "runtime/vm_host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <charconv>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kTscFile = "tsc_khz";

Result<std::uint64_t> load_tsc_khz(int cache) {
  const std::string text = TRY(sys::read_file_at(cache, kTscFile, 64));
  std::uint64_t khz = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), khz);
  if (code != std::errc() || end != text.data() + text.size()) {
    return fail(ErrorKind::internal, "the cached TSC frequency is damaged");
  }
  return khz;
}

}  // namespace

Result<UniqueFd> open_host_cache() {
  (void)::mkdir(kHostCache, 0700);
  auto dir = TRY(sys::open_at(AT_FDCWD, kHostCache, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat status{};
  if (::fstat(dir.get(), &status) != 0) return fail_errno(errno, "stat the host cache");
  if (status.st_uid != ::geteuid() || (status.st_mode & 022) != 0) {
    return fail(ErrorKind::failed_precondition, fmt::format("{} is not ours alone", kHostCache));
  }
  return dir;
}

Result<vmm::AcceleratorVerdict> choose_accelerator(const Config& config) {
  vmm::KvmProbe probe;
  if (config.vm.accelerator == vmm::AcceleratorChoice::tcg) {
    probe.reason = "the configuration asks for tcg";
  } else {
    const bool cached = open_host_cache().has_value();
    probe = cached ? vmm::probe_kvm_cached(config.vm.kvm_device, kHostCache)
                   : vmm::probe_kvm(config.vm.kvm_device);
  }
  return vmm::decide_accelerator(config.vm.accelerator, probe);
}

std::uint64_t cached_tsc_khz() {
  auto cache = open_host_cache();
  if (!cache) return vmm::host_tsc_khz();
  if (auto known = load_tsc_khz(cache->get())) return *known;
  const std::uint64_t khz = vmm::host_tsc_khz();
  (void)sys::replace_file_at(cache->get(), kTscFile, fmt::format("{}", khz), 0600);
  return khz;
}

}  // namespace agentvm::runtime
