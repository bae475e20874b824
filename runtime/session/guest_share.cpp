#include "runtime/session/guest_share.h"

#include <fmt/format.h>

#include "runtime/guest_spec.h"
#include "runtime/monitor/pod_share.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kGuestWaiting = "/run/agentvm/waiting";

void add(agent::v1::CreateContainerRequest& request, const char* driver, const std::string& source,
         const std::string& mount_point) {
  agent::v1::Storage* storage = request.add_storages();
  storage->set_driver(driver);
  storage->set_source(source);
  storage->set_mount_point(mount_point);
}

}  // namespace

void add_share(agent::v1::CreateContainerRequest& request, const std::string& below) {
  if (below.empty()) {
    add(request, "virtiofs", kSharedTag, kGuestShared);
    return;
  }
  add(request, "virtiofs", kSharedTag, kGuestWaiting);
  add(request, "bind", std::string(kGuestWaiting) + "/" + below, kGuestShared);
}

std::string guest_member_directory(const std::string& name) {
  return fmt::format("{}/{}/{}", kGuestShared, kMembersDirectory, name);
}

void add_member_share(agent::v1::CreateContainerRequest& request, const std::string& name) {
  add(request, "submount", "", guest_member_directory(name));
}

void add_pod_shm(agent::v1::CreateContainerRequest& request, std::uint64_t bytes) {
  add(request, "tmpfs", "", kGuestPodShm);
  auto& options = *request.mutable_storages()->rbegin()->mutable_options();
  for (const char* option : {"mode=1777", "nosuid", "nodev", "noexec"}) *options.Add() = option;
  if (bytes != 0) *options.Add() = fmt::format("size={}", bytes);
}

}  // namespace agentvm::runtime
