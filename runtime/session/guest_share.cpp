#include "runtime/session/guest_share.h"

#include "runtime/guest_spec.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kGuestWaiting = "/run/agentvm/waiting";

void add(agent::v1::CreateContainerRequest& request, const char* driver, const std::string& source,
         const char* mount_point) {
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

}  // namespace agentvm::runtime
