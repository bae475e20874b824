#include "runtime/host_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "oci/base/sys.h"
#include "runtime/host_root.h"
#include "runtime/pool/place.h"
#include "runtime/vm_host.h"
#include "vmm/template/store.h"

namespace agentvm::runtime {

namespace {

// Tries what would change this process.
bool works_in_child(bool (*attempt)()) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(attempt() ? 0 : 1);
  int status = 1;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status == 0;
}

CheckItem check_user() {
  const auto root = check_host_root();
  if (root) return {"user", CheckVerdict::good, "running as root", ""};
  return {"user", CheckVerdict::failed, root.error().text(),
          "run agentvm as root: it makes namespaces, cgroups and mounts"};
}

CheckItem check_kernel() {
  utsname host{};
  (void)::uname(&host);
  return {"host kernel", CheckVerdict::good, fmt::format("Linux {} {}", host.release, host.machine),
          ""};
}

CheckItem check_accelerator(const Config& config) {
  const auto verdict = choose_accelerator(config);
  if (!verdict) {
    return {"accelerator", CheckVerdict::failed, verdict.error().text(),
            "set vm.accelerator = \"auto\" to run without KVM, or enable hardware virtualization"};
  }
  const std::string finding =
      fmt::format("{}: {}", vmm::name_of(verdict->accelerator), verdict->reason);
  if (verdict->accelerator == vmm::Accelerator::kvm) {
    return {"accelerator", CheckVerdict::good, finding, ""};
  }
  return {"accelerator", CheckVerdict::note, finding,
          "guests run by emulation: slower, and outside QEMU's security policy, which covers KVM "
          "guests only; the jail around QEMU has to hold by itself"};
}

CheckItem check_programs(const Config& config) {
  const auto programs = find_vm_programs(config);
  if (!programs) {
    return {"programs", CheckVerdict::failed, programs.error().text(),
            "install what is named, or set its path in the configuration"};
  }
  return {"programs", CheckVerdict::good,
          fmt::format("{}, {}, {}", programs->qemu, programs->virtiofsd, programs->vsock_backend),
          ""};
}

CheckItem check_image(const Config& config) {
  const auto programs = find_vm_programs(config);
  if (!programs) return {"guest image", CheckVerdict::note, "not looked at", ""};
  return {"guest image", CheckVerdict::good,
          fmt::format("{}, {}", programs->kernel, programs->initramfs), ""};
}

// Whether a child of ours can take the uid that a jail would use.
CheckItem check_jail(const Config& config) {
  if (config.security.jail != JailChoice::on) {
    return {"jail", CheckVerdict::note, "switched off in the configuration",
            "remove security.jail: QEMU and the vsock backend run unconfined"};
  }
  const bool able = works_in_child([] {
    return ::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) == 0 &&
           ::setresuid(0x70000000, 0x70000000, 0x70000000) == 0;
  });
  if (able) {
    return {"jail", CheckVerdict::good, "QEMU can be given namespaces and a uid of its own", ""};
  }
  return {"jail", CheckVerdict::failed,
          "namespaces or uids above 0x70000000 are not to be had here (a user namespace?)",
          "run agentvm in the initial user namespace, or weaken security.jail knowingly"};
}

CheckItem check_cgroups() {
  const bool v2 = ::access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
  const bool hybrid = ::access("/sys/fs/cgroup/unified/cgroup.controllers", F_OK) == 0;
  const bool v1 = ::access("/sys/fs/cgroup/memory", F_OK) == 0;
  if (v2) return {"cgroups", CheckVerdict::good, "v2", ""};
  if (v1) return {"cgroups", CheckVerdict::good, hybrid ? "v1 and v2 (hybrid)" : "v1", ""};
  return {"cgroups", CheckVerdict::note, "no hierarchy with a memory controller is mounted",
          "mount cgroup2 on /sys/fs/cgroup for limits on the VM as a whole"};
}

// virtiofsd holds a descriptor for every file that a guest remembers.
CheckItem check_open_files() {
  constexpr rlim_t kEnough = 1'000'000;
  rlimit limit{};
  (void)::getrlimit(RLIMIT_NOFILE, &limit);
  const bool enough = limit.rlim_max >= kEnough || works_in_child([] {
                        const rlimit more{kEnough, kEnough};
                        return ::setrlimit(RLIMIT_NOFILE, &more) == 0;
                      });
  if (enough) return {"open files", CheckVerdict::good, "as many as a guest needs", ""};
  return {"open files", CheckVerdict::note,
          fmt::format("{} at most, and the limit cannot be raised", limit.rlim_max),
          "a container that uses more files at once sees \"Too many open files\": raise the hard "
          "limit of who starts agentvm (ulimit -Hn, LimitNOFILE=)"};
}

CheckItem check_templates(const Config& config) {
  const std::string& directory = config.templates.directory;
  if (!config.templates.enabled) {
    return {"templates", CheckVerdict::note, "switched off in the configuration: every VM boots",
            "remove templates.enabled"};
  }
  if (::access(directory.c_str(), F_OK) != 0) {
    return {"templates", CheckVerdict::good, fmt::format("none yet in {}", directory), ""};
  }
  const auto store = vmm::TemplateStore::open(directory);
  const auto entries = store ? store->list() : std::unexpected(store.error());
  if (!entries) {
    return {"templates", CheckVerdict::note, entries.error().text(),
            "every VM boots until that is mended"};
  }
  return {"templates", CheckVerdict::good, fmt::format("{} in {}", entries->size(), directory), ""};
}

CheckItem check_pool(const Config& config) {
  const auto& [size, directory] = config.pool;
  if (size == 0) return {"pool", CheckVerdict::good, "off (pool.size)", ""};
  if (!config.templates.enabled) {
    return {"pool", CheckVerdict::note, "it is made from templates, which are switched off",
            "remove templates.enabled"};
  }
  if (::access(directory.c_str(), F_OK) != 0) {
    return {"pool", CheckVerdict::good, "the first container fills it", ""};
  }
  if (const std::string why = recent_failure(directory, std::chrono::hours(24)); !why.empty()) {
    return {"pool", CheckVerdict::note, "it could not be filled: " + why,
            "`agentvm pool fill` tries again"};
  }
  const auto pool = StateRoot::open(directory);
  const auto places = pool ? list_places(*pool) : std::unexpected(pool.error());
  if (!places) {
    return {"pool", CheckVerdict::note, places.error().text(), "no VM waits until that is mended"};
  }
  const auto waiting =
      std::ranges::count_if(*places, [](const PoolPlace& place) { return waits(place.record); });
  return {"pool", CheckVerdict::good, fmt::format("{} of {} wait in {}", waiting, size, directory),
          ""};
}

CheckItem check_device(const char* name, const char* path, const char* missing) {
  const int fd = ::open(path, O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    ::close(fd);
    return {name, CheckVerdict::good, fmt::format("{} opens", path), ""};
  }
  return {name, CheckVerdict::note, fmt::format("{}: {}", path, std::strerror(errno)), missing};
}

}  // namespace

std::string_view name_of(CheckVerdict verdict) {
  switch (verdict) {
    case CheckVerdict::good:
      return "ok";
    case CheckVerdict::note:
      return "note";
    case CheckVerdict::failed:
      return "FAILED";
  }
  return "FAILED";
}

std::vector<CheckItem> check_host(const Config& config) {
  std::vector<CheckItem> items;
  items.push_back(check_user());
  items.push_back(check_kernel());
  items.push_back(check_accelerator(config));
  items.push_back(check_programs(config));
  items.push_back(check_image(config));
  items.push_back(check_jail(config));
  items.push_back(check_cgroups());
  items.push_back(check_open_files());
  items.push_back(check_templates(config));
  items.push_back(check_pool(config));
  items.push_back(check_device("network", "/dev/net/tun",
                               "containers will have a loopback interface only: load module tun"));
  return items;
}

}  // namespace agentvm::runtime
