#include "runtime/monitor/surroundings.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/mount_namespace.h"
#include "runtime/network/netlink.h"
#include "runtime/network/scan.h"

namespace agentvm::runtime {

namespace {

Result<void> enter_network_namespace(const std::string& path) {
  if (path.empty()) {
    if (::unshare(CLONE_NEWNET) != 0) return fail_errno(errno, "make a network namespace");
    return {};
  }
  auto netns = TRY(sys::open_at(AT_FDCWD, path, O_RDONLY), "network namespace of the spec");
  if (::setns(netns.get(), CLONE_NEWNET) != 0) {
    return fail_errno(errno, fmt::format("join network namespace '{}'", path));
  }
  // Looked at again at start, when it counts; here before a VM is made for nothing.
  const auto netlink = TRY(open_netlink());
  const auto scan = TRY(scan_network(netlink.get()));
  return check_untaken(scan);
}

}  // namespace

std::string network_namespace(const oci::Spec& spec) {
  if (!spec.linux_) return {};
  for (const oci::Namespace& entry : spec.linux_->namespaces) {
    if (entry.type == oci::NamespaceType::network) return entry.path;
  }
  return {};
}

Result<void> enter_surroundings(const oci::Spec& spec, const SharePlan& share,
                                const std::string& shared_dir) {
  TRY(enter_network_namespace(network_namespace(spec)));
  TRY(enter_own_mounts());
  return apply_share(share, shared_dir);
}

}  // namespace agentvm::runtime
