#include <fmt/format.h>

#include <csignal>
#include <cstring>

#include "oci/base/try.h"
#include "sandbox/cli/session_verbs.h"
#include "sandbox/engine/detach_keys.h"
#include "sandbox/engine/session.h"

namespace agentvm::sandbox {

namespace {

// "SIGINT": Docker takes numbers too, but those are the host's.
std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? std::to_string(signal) : name;
}

}  // namespace

Result<ContainerView> container_of(const Docker& docker, const Record& record) {
  auto view = docker.inspect(record.container);
  if (!view && view.error().kind == ErrorKind::not_found) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("the container of sandbox '{0}' is gone from Docker: `agentvm sandbox "
                            "reset {0}` makes a fresh one, `rm {0}` removes what is left",
                            record.name));
  }
  return view;
}

Result<void> start_container(const Docker& docker, const Record& record) {
  TRY(docker.start(record.container), "start sandbox '{}'", record.name);
  return {};
}

Result<int> attach_agent(const Docker& docker, const Record& record,
                         const std::string& detach_keys) {
  const ContainerView view = TRY(container_of(docker, record));
  SessionOrder order;
  order.detach_keys = TRY(parse_detach_keys(detach_keys));
  order.tty = view.tty;
  // Before it starts: nothing that it says is lost.
  order.stream = TRY(docker.attach(record.container, true), "attach to '{}'", record.name);
  if (!view.runs()) TRY(start_container(docker, record));
  order.resize = [&](unsigned rows, unsigned columns) {
    (void)docker.resize(record.container, rows, columns);
  };
  order.signalled = [&](int signal) { (void)docker.kill(record.container, signal_name(signal)); };
  const SessionEnd end = TRY(run_session(std::move(order)));
  if (end == SessionEnd::detached) {
    fmt::print(stderr,
               "\r\nsandbox '{0}' runs on: `agentvm sandbox run --name {0} {1}` comes back\n",
               record.name, record.agent);
    return 0;
  }
  return docker.wait(record.container);
}

}  // namespace agentvm::sandbox
