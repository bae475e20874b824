#include "guest-agent/launch/init_child.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "guest-agent/launch/identity.h"
#include "guest-agent/launch/in_root.h"
#include "guest-agent/launch/lookup.h"
#include "guest-agent/launch/namespaces.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

bool in_user_namespace(const InitChild& child) {
  return has_namespace(child.spec, oci::NamespaceType::user);
}

Result<void> leave(InitChild& child) {
  std::vector<int> keep{child.rootfs.sources.root.get(), child.rootfs.sources.nodes.get()};
  for (const UniqueFd& mount : child.rootfs.sources.mounts) keep.push_back(mount.get());
  for (const JoinedNamespace& joined : child.joined) keep.push_back(joined.process.get());
  return leave_the_agent(child, std::move(keep));
}

Result<void> wait_for_maps(InitChild& child) {
  return wait_for_agent(child);
}

Result<void> user_namespace(InitChild& child) {
  if (!in_user_namespace(child)) return {};
  TRY(become_root());
  // The change of ids took away /proc/self from the process itself. Nobody else is there yet.
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return fail_errno(errno, "prctl");
  return {};
}

Result<void> others_namespaces(InitChild& child) {
  return join_all(child.joined);
}

Result<void> late_namespaces(InitChild& child) {
  return unshare_late(child.spec);
}

Result<void> own_mounts(InitChild&) {
  return isolate_mounts();
}

Result<void> sources(InitChild& child) {
  if (in_user_namespace(child)) return {};
  child.rootfs.sources = TRY(open_sources(child.spec, child.cgroup, child.rootfs.nodes));
  return {};
}

template <Result<void> (*step)(Rootfs&)>
Result<void> of_root(InitChild& child) {
  return step(child.rootfs);
}

Result<void> terminal(InitChild& child) {
  return set_up_terminal(child, child.rootfs.root.get(), true);
}

Result<void> sysctls(InitChild& child) {
  return write_sysctls(child.spec, in_user_namespace(child) ? SysctlKind::other : SysctlKind::all);
}

Result<void> names(InitChild& child) {
  const std::string& host = child.spec.hostname;
  const std::string& domain = child.spec.domainname;
  if (!host.empty() && ::sethostname(host.c_str(), host.size()) != 0) {
    return fail_errno(errno, fmt::format("hostname '{}'", host));
  }
  if (!domain.empty() && ::setdomainname(domain.c_str(), domain.size()) != 0) {
    return fail_errno(errno, fmt::format("domainname '{}'", domain));
  }
  return {};
}

std::unexpected<Error> fail_mkdir(std::string_view path, int errnum) {
  return fail(kind_of_errno(errnum), fmt::format("mkdir {}: {}", path, reason_of(errnum)));
}

// As runc: a missing working directory is made, in the jail. Its words: `mkdir /etc/passwd: not a
// directory`.
Result<void> working_directory(InitChild& child) {
  const std::string path = clean_path(child.process.cwd);
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    struct stat st{};
    if (::stat(part.c_str(), &st) == 0) {
      if (!S_ISDIR(st.st_mode)) return fail_mkdir(part, ENOTDIR);
    } else if (::mkdir(part.c_str(), 0755) != 0) {
      return fail_mkdir(part, errno);
    }
    if (end == path.npos) return {};
  }
}

Result<void> program(InitChild& child) {
  return become_the_program(child);
}

constexpr std::array kSteps = std::to_array<Step<InitChild>>({
    {"leave the agent", leave},
    {"wait for the id maps", wait_for_maps},
    {"enter the user namespace", user_namespace},
    {"join namespaces", others_namespaces},
    {"make namespaces", late_namespaces},
    {"isolate mounts", own_mounts},
    {"open sources", sources, StepError::verbatim},
    {"put the root in place", of_root<attach_root>},
    {"mount the file systems", of_root<mount_all>, StepError::verbatim},
    {"make devices", of_root<make_devices>, StepError::verbatim},
    {"make device links", of_root<make_device_links>},
    {"open the terminal", terminal},
    {"write sysctls", sysctls, StepError::verbatim},
    {"mask paths", of_root<mask_paths>, StepError::verbatim},
    {"make paths read-only", of_root<make_paths_read_only>, StepError::verbatim},
    {"enter the root", of_root<enter_root>},
    {"make the working directory", working_directory, StepError::verbatim},
    {"finish the root", of_root<finish_root>},
    {"set names", names, StepError::verbatim},
    {"become the program", program, StepError::verbatim},
});

}  // namespace

Result<void> run_init(InitChild& child) {
  return run_steps<InitChild>(kSteps, child);
}

}  // namespace agentvm::guest
