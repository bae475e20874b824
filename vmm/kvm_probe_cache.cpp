// One small JSON file, good for one boot and one device node.
#include "vmm/kvm_probe_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <optional>
#include <string_view>

#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/sys.h"

namespace agentvm::vmm {

namespace {

constexpr const char* kFile = "kvm-probe.json";
constexpr std::size_t kLimit = 4096;

struct Entry {
  std::string key;
  bool usable = false;
  std::string reason;
};

void json_fields(auto& io, Like<Entry> auto& entry) {
  io.required("key", entry.key);
  io.required("usable", entry.usable);
  io.required("reason", entry.reason);
}

// Nothing when there is no device to have an opinion on. The inode's change time covers a module
// that was unloaded and loaded again, and permissions that changed.
std::optional<std::string> key_of(const std::string& device) {
  struct stat status{};
  const auto boot = sys::read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!boot || ::stat(device.c_str(), &status) != 0 || !S_ISCHR(status.st_mode)) return {};
  return fmt::format("{} {} {}:{} {} {}.{:09} uid {}",
                     std::string_view(*boot).substr(0, boot->find('\n')), device,
                     major(status.st_rdev), minor(status.st_rdev), status.st_ino,
                     status.st_ctim.tv_sec, status.st_ctim.tv_nsec, ::geteuid());
}

// A file that others can write, or that is anything but what we wrote, is as good as none.
std::optional<KvmProbe> load(int directory, const std::string& key) {
  const auto fd = sys::open_at(directory, kFile, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat status{};
  if (!fd || ::fstat(fd->get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  if (status.st_uid != ::geteuid() || (status.st_mode & 0022) != 0) return {};
  const auto text = sys::read_all(fd->get(), kLimit);
  if (!text) return {};
  const auto entry = parse_json<Entry>(*text, nullptr, {.bytes = kLimit, .depth = 4, .values = 16});
  if (!entry || entry->key != key || entry->reason.empty()) return {};
  return KvmProbe{entry->usable, entry->reason, 0, true};
}

}  // namespace

KvmProbe kept_or_probed(const std::string& device, const std::string& cache_dir,
                        const std::function<KvmProbe()>& probe) {
  const auto key = key_of(device);
  const auto directory = sys::open_at(AT_FDCWD, cache_dir, O_RDONLY | O_DIRECTORY);
  if (!key || !directory) return probe();
  if (auto kept = load(directory->get(), *key)) return *kept;
  KvmProbe verdict = probe();
  // What another minute may change (a time-out, permissions) is not kept.
  if (!verdict.lasting) return verdict;
  const Entry entry{*key, verdict.usable, verdict.reason};
  (void)sys::replace_file_at(directory->get(), kFile, write_json(entry) + "\n", 0600);
  return verdict;
}

KvmProbe probe_kvm_cached(const std::string& kvm_device, const std::string& cache_dir) {
  return kept_or_probed(kvm_device, cache_dir, [&] { return probe_kvm(kvm_device); });
}

}  // namespace agentvm::vmm
