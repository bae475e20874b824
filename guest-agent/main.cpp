// agentvm-agent: PID 1 of a microVM; with --practise the program of the container that a VM of the
// pool lives through before it waits. Also, for developers, a server on unix sockets that needs no
// VM: agentvm-agent --serve-unix DIR --cgroup DIR.
#include <sched.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "guest-agent/agent.h"
#include "guest-agent/boot.h"
#include "guest-agent/configure.h"
#include "guest-agent/end.h"
#include "guest-agent/modules.h"
#include "guest-agent/practice.h"
#include "guest-agent/server.h"
#include "guest-agent/template_wait.h"
#include "oci/base/log.h"
#include "oci/base/try.h"
#include "rpc/guest_contract.h"
#include "rpc/ports.h"

namespace agentvm::guest {

namespace {

// How long the vsock device may take to appear on a cold boot.
constexpr std::chrono::milliseconds kDialPatience{60000};

std::uint32_t uptime_ms() {
  std::timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint32_t>(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

// Writing to a pipe whose process has gone is an error like any other. A handler instead of
// SIG_IGN: execve(2) gives containers the default back.
void survive_broken_pipes() {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGPIPE, &action, nullptr);
}

// A process that writes is not interrupted for every piece of its output: the agent wakes without
// preempting it (sched(7), SCHED_BATCH) and finds more to take at once. Its children start as
// usual.
void let_containers_go_on() {
  const sched_param parameters{};
  if (::sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &parameters) != 0) {
    log::warning("the agent's scheduling policy stays: {}", std::strerror(errno));
  }
}

// The parts in the order they depend on each other.
struct Parts {
  explicit Parts(AgentSetup setup)
      : reaper(io.get_executor()),
        streams(io.get_executor()),
        agent(io.get_executor(), reaper, streams, std::move(setup)) {
    rpc::register_agent_service(server, agent);
  }
  asio::io_context io;
  Reaper reaper;
  StreamTable streams;
  Agent agent;
  rpc::Server server;
};

// Serves the monitor's connection; the guest ends with it.
asio::awaitable<void> serve_monitor(Parts& parts) {
  if (kernel_command_line_has(rpc::kTemplateWord)) {
    auto restored = co_await wait_to_be_restored(parts.reaper, parts.agent.moments());
    if (!restored) die(restored.error().text());
  }
  auto connection = co_await dial_host(rpc::kAgentPort, kDialPatience);
  if (!connection) die(connection.error().text());
  parts.agent.moments().mark(agent::v1::GUEST_STEP_DIALED);
  (void)co_await parts.server.serve(*std::move(connection));
  co_await parts.agent.end_guest();
}

[[noreturn]] void run_guest() {
  power_off_on_crash();
  survive_broken_pipes();
  let_containers_go_on();
  AgentSetup setup;
  setup.init_started_ms = uptime_ms();
  auto cgroups = boot_guest();
  if (!cgroups) die(cgroups.error().text());
  auto listeners = listen_vsock();
  if (!listeners) die(listeners.error().text());
  setup.cgroups = *std::move(cgroups);
  setup.configure_guest = configure_guest;
  setup.owns_network = true;
  setup.power_off = power_off;
  setup.serving_ms = uptime_ms();

  Parts parts(std::move(setup));
  serve(parts.io.get_executor(), *std::move(listeners), parts.server, parts.streams);
  asio::co_spawn(parts.io, serve_monitor(parts), asio::detached);
  parts.io.run();
  die("the event loop ended");
}

// The same server without a VM. It changes nothing of the host but the two directories.
Result<void> run_on_host(const std::string& directory, const std::string& cgroup) {
  survive_broken_pipes();
  AgentSetup setup;
  setup.cgroups = TRY(prepare_cgroup_tree(cgroup, false));
  setup.configure_guest = [](const agent::v1::ConfigureRequest&) { return Result<void>(); };
  setup.init_started_ms = uptime_ms();
  setup.serving_ms = setup.init_started_ms;
  asio::io_context* loop = nullptr;
  setup.power_off = [&loop] { loop->stop(); };
  Parts parts(std::move(setup));
  loop = &parts.io;
  serve(parts.io.get_executor(), TRY(listen_unix(directory)), parts.server, parts.streams);
  parts.io.run();
  return {};
}

}  // namespace

int run(int argc, char** argv) {
  if (::getpid() == 1 && argc == 1) run_guest();
  // As the kernel calls it; whoever else does loads modules that he may load anyway.
  if (argc == 4 && std::string_view(argv[0]) == kModuleLoader)
    return answer_module_request(argv[3]);
  if (argc == 2 && std::string_view(argv[1]) == rpc::kPracticeWord) return practise(argv[0]);
  if (argc == 5 && std::string_view(argv[1]) == "--serve-unix" &&
      std::string_view(argv[3]) == "--cgroup") {
    const auto served = run_on_host(argv[2], argv[4]);
    if (served) return 0;
    log::error("{}", served.error().text());
    return 1;
  }
  log::error("agentvm-agent is PID 1 of a microVM and nothing to be run by hand");
  return 2;
}

}  // namespace agentvm::guest

int main(int argc, char** argv) {
  return agentvm::guest::run(argc, argv);
}
