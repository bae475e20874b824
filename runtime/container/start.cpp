#include "runtime/container/start.h"

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/channel.h"
#include "runtime/container/state_document.h"
#include "runtime/hooks.h"

namespace agentvm::runtime {

namespace {

Result<void> ask_monitor(const StateDir& dir, std::chrono::milliseconds timeout) {
  Channel channel(TRY(sys::connect_unix_at(dir.fd(), kControlSocket), "reach the monitor"));
  TRY(channel.send({MessageType::start, "", {}}));
  TRY(channel.expect(MessageType::done, timeout, "the container's monitor"));
  return {};
}

}  // namespace

Result<void> start_container(const Engine& engine, const std::string& id) {
  auto [dir, record] = TRY(open_container(engine, id));
  TRY(allow(effective_status(record), oci::Event::start, id));
  TRY(ask_monitor(dir, 4 * engine.config.vm.request_timeout));
  if (!record.poststart_hooks.empty()) {
    record.status = Status::running;
    const HookContext context{state_document(record)};
    for (const Error& error :
         run_every_hook(HookKind::poststart, record.poststart_hooks, context)) {
      log::warning("{}", error.text());
    }
  }
  return {};
}

}  // namespace agentvm::runtime
