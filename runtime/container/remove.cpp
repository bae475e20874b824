#include "runtime/container/remove.h"

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "runtime/container/state_document.h"
#include "runtime/destroy.h"
#include "runtime/hooks.h"

namespace agentvm::runtime {

Result<void> remove_container(const Engine& engine, const std::string& id, bool force) {
  auto opened = open_container(engine, id);
  if (!opened) {
    if (force && opened.error().kind == ErrorKind::not_found) return {};
    return std::unexpected(std::move(opened).error());
  }
  auto& [dir, record] = *opened;
  const Status status = effective_status(record);
  if (!force && status != Status::created) TRY(allow(status, oci::Event::remove, id));
  TRY(destroy(dir, record), "delete container '{}'", id);
  if (!record.poststop_hooks.empty()) {
    record.status = Status::stopped;
    const HookContext context{state_document(record)};
    for (const Error& error : run_every_hook(HookKind::poststop, record.poststop_hooks, context)) {
      log::warning("{}", error.text());
    }
  }
  return {};
}

}  // namespace agentvm::runtime
