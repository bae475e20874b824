#include "vmm/template/key.h"

#include <cpuid.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "oci/base/try.h"
#include "vmm/machine_parts.h"

namespace agentvm::vmm {

namespace {

// What a template's files mean. Counts up when that changes.
constexpr int kFormat = 1;

// The processor as the guest sees it with `-cpu host`, and the kernel whose KVM makes it so.
std::string host_lines() {
  std::string out = "processor";
  for (const unsigned leaf : {0U, 1U, 7U, 0x80000001U, 0x80000007U, 0x80000008U}) {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    if (__get_cpuid_count(leaf, 0, &a, &b, &c, &d) == 0) continue;
    if (leaf == 1) b &= 0x00ffffffU;  // the rest is the number of the CPU that this runs on
    out += fmt::format(" {:x}={:x},{:x},{:x},{:x}", leaf, a, b, c, d);
  }
  utsname name{};
  (void)::uname(&name);
  return out + fmt::format("\nhost kernel {} {}\n", name.release, name.version);
}

}  // namespace

Result<std::string> describe_file(std::string_view what, const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return fail(ErrorKind::unavailable, fmt::format("{} '{}' is missing", what, path));
  }
  return fmt::format("{} {} {}:{} {} {}.{} {}.{}\n", what, path, status.st_dev, status.st_ino,
                     status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
                     status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
}

std::string TemplateKey::name() const {
  // FNV-1a, 64 bits (the parameters of RFC 9923): a name needs no more.
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return fmt::format("{:016x}", hash);
}

Result<TemplateKey> make_template_key(const MachineConfig& config) {
  MachineConfig machine = config;
  machine.start = MachineStart::make_template;
  machine.memory_file.clear();
  TemplateKey key;
  key.text = fmt::format("format {}\n", kFormat);
  key.text += TRY(describe_file("QEMU", config.qemu));
  key.text += TRY(describe_file("kernel", config.kernel));
  key.text += TRY(describe_file("initramfs", config.initramfs));
  if (config.accelerator == Accelerator::kvm) key.text += host_lines();
  for (const std::string& word : qemu_argv(describe_qemu(machine))) {
    key.text.append(word).append("\n");
  }
  return key;
}

}  // namespace agentvm::vmm
