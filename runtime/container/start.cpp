#include "runtime/container/start.h"

#include <poll.h>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/container/ask_monitor.h"
#include "runtime/container/state_document.h"
#include "runtime/hooks.h"

namespace agentvm::runtime {

namespace {

// What failed to start ends. The caller may delete it at once, which needs the stand-in's end.
void await_end(pid_t stand_in) {
  constexpr int kPatienceMs = 5000;
  const auto process = sys::pidfd_open(stand_in);
  if (!process) return;
  pollfd entry{process->get(), POLLIN, 0};
  (void)::poll(&entry, 1, kPatienceMs);
}

}  // namespace

Result<void> start_container(const Engine& engine, const std::string& id) {
  auto [dir, record] = TRY(open_container(engine, id));
  TRY(allow(effective_status(record), oci::Event::start, id));
  const Message request{MessageType::start, "", {}};
  if (auto started = ask_monitor(dir, request, 4 * engine.config.vm.request_timeout);
      !started) {
    await_end(record.monitor.pid);
    // One that died with its answer had started the program: what followed is the container's end.
    const auto left = dir.load();
    if (!left || left->status != Status::running) return started;
  }
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
