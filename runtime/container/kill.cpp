#include "runtime/container/kill.h"

#include <poll.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstring>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/container/guest_call.h"
#include "runtime/container/state_document.h"

namespace agentvm::runtime {

namespace {

constexpr std::chrono::milliseconds kDeathWait{5000};

Result<void> send_signal(const StateDir& dir, const ContainerRecord& record, int signal, bool all,
                         std::chrono::milliseconds timeout) {
  return call_guest<void>(dir, timeout, [&](rpc::AgentClient& agent) -> Task<void> {
    agent::v1::SignalProcessRequest request;
    request.set_container_id(record.id);
    request.set_signal(static_cast<std::uint32_t>(signal));
    request.set_all(all);
    auto answer = co_await agent.signal_process(request, timeout);
    CO_TRY(std::move(answer));
    co_return Result<void>{};
  });
}

// The guest does not answer: its VM goes, and the container with it.
Result<void> kill_vm(const ContainerRecord& record, const Error& why) {
  log::warning("container '{}': {}; killing the VM", record.id, why.text());
  auto monitor = TRY(sys::pidfd_open(record.monitor.pid));
  if (!is_alive(record.monitor)) return {};
  return sys::pidfd_send_signal(monitor.get(), SIGKILL);
}

void wait_for_end(int pidfd) {
  pollfd entry{pidfd, POLLIN, 0};
  (void)::poll(&entry, 1, static_cast<int>(kDeathWait.count()));
}

}  // namespace

Result<int> parse_signal(const std::string& signal) {
  int number = 0;
  const auto [end, code] = std::from_chars(signal.data(), signal.data() + signal.size(), number);
  const bool numeric = code == std::errc() && end == signal.data() + signal.size();
  if (numeric && number > 0 && number <= SIGRTMAX) return number;
  std::string name(signal);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (int candidate = 1; !numeric && candidate < NSIG; ++candidate) {
    const char* abbreviation = ::sigabbrev_np(candidate);
    if (abbreviation != nullptr && name == abbreviation) return candidate;
  }
  return fail(ErrorKind::invalid_argument, fmt::format("unknown signal \"{}\"", signal));
}

Result<void> kill_container(const Engine& engine, const std::string& id, int signal, bool all) {
  auto [dir, record] = TRY(open_container(engine, id));
  const Status status = effective_status(record);
  if (status == Status::stopped && all) return {};
  TRY(allow(status, oci::Event::kill, id));
  auto monitor = sys::pidfd_open(record.monitor.pid);
  if (!monitor || !is_alive(record.monitor)) {
    return fail(ErrorKind::failed_precondition, "container not running");
  }
  auto sent = send_signal(dir, record, signal, all, engine.config.vm.request_timeout);
  if (!sent && sent.error().kind == ErrorKind::unavailable && signal == SIGKILL) {
    sent = kill_vm(record, sent.error());
  }
  if (sent && signal == SIGKILL) wait_for_end(monitor->get());
  return sent;
}

}  // namespace agentvm::runtime
