#include "runtime/recorded_cgroup.h"

#include "oci/base/try.h"

namespace agentvm::runtime {

Result<void> store(const StateDir& dir, const ContainerRecord& record) {
  auto lock = TRY(dir.lock(kVerbLockDeadline));
  return dir.store(record, lock);
}

Result<HostCgroup> make_recorded_cgroup(const CgroupRequest& request, const StateDir& dir,
                                        ContainerRecord& record) {
  record.cgroup = TRY(HostCgroup::plan(request));
  TRY(store(dir, record));
  auto cgroup = HostCgroup::create(request);
  record.cgroup = cgroup ? cgroup->record() : CgroupRecord{};
  TRY(store(dir, record));
  return cgroup;
}

}  // namespace agentvm::runtime
