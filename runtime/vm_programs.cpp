#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>

#include "oci/base/try.h"
#include "runtime/config.h"

namespace agentvm::runtime {

namespace {

constexpr std::string_view kQemuPlaces[] = {
    "/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm"};
// Debian 13 (Rust), Debian 12 (C), by hand.
constexpr std::string_view kVirtiofsdPlaces[] = {
    "/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/local/libexec/virtiofsd"};

struct Wanted {
  std::string_view what;     // "QEMU"
  std::string_view key;      // "vm.qemu"
  std::string_view install;  // what brings it
  int access = X_OK;
};

// What is missing is the host's: neither "no such file" nor "not found" may be in the text, which
// Docker would show as a missing command of the container.
std::unexpected<Error> missing(const Wanted& wanted, std::string_view where) {
  return fail(ErrorKind::unavailable,
              fmt::format("{} is missing on this host ({}): {}, or set {} in {}", wanted.what,
                          where, wanted.install, wanted.key, kConfigPath));
}

Result<std::string> find(const Wanted& wanted, const std::string& configured,
                         std::span<const std::string_view> places) {
  if (!configured.empty()) {
    if (::access(configured.c_str(), wanted.access) == 0) return configured;
    if (errno == ENOENT || errno == ENOTDIR) return missing(wanted, configured);
    return fail(ErrorKind::unavailable,
                fmt::format("{}: {} '{}' cannot be used", wanted.key, wanted.what, configured));
  }
  std::string searched;
  for (const std::string_view place : places) {
    if (::access(std::string(place).c_str(), wanted.access) == 0) return std::string(place);
    searched.append(searched.empty() ? "" : ", ").append(place);
  }
  return missing(wanted, searched);
}

}  // namespace

Result<VmPrograms> find_vm_programs(const Config& config) {
  VmPrograms programs;
  programs.qemu =
      TRY(find({"QEMU", "vm.qemu", "install qemu-system-x86"}, config.vm.qemu, kQemuPlaces));
  programs.virtiofsd = TRY(find({"virtiofsd", "vm.virtiofsd",
                                 "install virtiofsd (Debian 13) or qemu-system-common (Debian 12)"},
                                config.vm.virtiofsd, kVirtiofsdPlaces));
  programs.vsock_backend =
      TRY(find({"the vsock backend", "vm.vsock_backend", "install agentvm completely"},
               config.vm.vsock_backend, {}));
  programs.kernel =
      TRY(find({"the guest kernel", "vm.kernel", "build it with 'agentvm-kernel'", R_OK},
               config.vm.kernel, {}));
  programs.initramfs =
      TRY(find({"the guest initramfs", "vm.initramfs", "build it with 'agentvm-kernel'", R_OK},
               config.vm.initramfs, {}));
  return programs;
}

Result<std::string> find_gateway(const Config& config) {
  return find({"the gateway of agent sandboxes", "vm.gateway", "install agentvm completely"},
              config.vm.gateway, {});
}

}  // namespace agentvm::runtime
