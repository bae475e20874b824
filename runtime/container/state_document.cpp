#include "runtime/container/state_document.h"

#include "oci/base/try.h"

namespace agentvm::runtime {

std::string state_document(const ContainerRecord& record, int indent) {
  oci::State state;
  state.oci_version = record.oci_version;
  state.id = record.id;
  state.status = effective_status(record);
  state.pid = state.status == Status::stopped ? 0 : record.monitor.pid;
  state.bundle = record.bundle;
  state.annotations = record.annotations;
  state.rootfs = record.rootfs;
  state.created = record.created;
  state.owner = record.owner;
  return oci::write_state(state, indent);
}

Result<void> allow(Status status, oci::Event event, std::string_view id) {
  TRY(oci::next_status(status, event, id));
  return {};
}

}  // namespace agentvm::runtime
