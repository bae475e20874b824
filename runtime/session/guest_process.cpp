#include "runtime/session/guest_process.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "runtime/console.h"

namespace agentvm::runtime {

namespace {

// What a caller may send to the stand-in instead of using `agentvm kill`. SIGCHLD, SIGPIPE and
// SIGURG are about this process; faults are ours, not the container's.
constexpr std::array kRelayed{SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                              SIGUSR2, SIGALRM, SIGCONT, SIGTSTP};

}  // namespace

struct SignalRelay::State {
  State(const asio::any_io_executor& executor, std::shared_ptr<rpc::AgentClient> client,
        GuestProcessId id, int tty)
      : signals(executor), agent(std::move(client)), process(std::move(id)), terminal(tty) {}

  asio::signal_set signals;
  std::shared_ptr<rpc::AgentClient> agent;
  GuestProcessId process;
  int terminal;
  bool ended = false;
};

namespace {

constexpr std::chrono::milliseconds kSignalTimeout{10000};

Task<void> send_size(rpc::AgentClient& agent, const GuestProcessId& process, int terminal) {
  const WindowSize size = CO_TRY(window_size(terminal));
  agent::v1::ResizeTerminalRequest request;
  request.set_container_id(process.container_id);
  request.set_exec_id(process.exec_id);
  request.set_rows(size.rows);
  request.set_columns(size.columns);
  auto answer = co_await agent.resize_terminal(request, kSignalTimeout);
  CO_TRY(std::move(answer));
  co_return Result<void>{};
}

Task<void> send_signal(rpc::AgentClient& agent, const GuestProcessId& process, int signal) {
  agent::v1::SignalProcessRequest request;
  request.set_container_id(process.container_id);
  request.set_exec_id(process.exec_id);
  request.set_signal(static_cast<std::uint32_t>(signal));
  auto answer = co_await agent.signal_process(request, kSignalTimeout);
  CO_TRY(std::move(answer));
  co_return Result<void>{};
}

}  // namespace

SignalRelay::SignalRelay(const asio::any_io_executor& executor,
                         std::shared_ptr<rpc::AgentClient> agent, GuestProcessId process,
                         int terminal)
    : state_(std::make_shared<State>(executor, std::move(agent), std::move(process), terminal)) {
  boost::system::error_code ignored;
  for (const int signal : kRelayed) state_->signals.add(signal, ignored);
  if (terminal >= 0) state_->signals.add(SIGWINCH, ignored);
  asio::co_spawn(
      executor,
      [](std::shared_ptr<State> state) -> asio::awaitable<void> {
        // The size may have changed before anybody listened.
        if (state->terminal >= 0) {
          (void)co_await send_size(*state->agent, state->process, state->terminal);
        }
        while (!state->ended) {
          auto [code, signal] = co_await state->signals.async_wait(use_result);
          if (code) co_return;
          auto sent = signal == SIGWINCH
                          ? co_await send_size(*state->agent, state->process, state->terminal)
                          : co_await send_signal(*state->agent, state->process, signal);
          if (!sent) log::debug("signal {} was not delivered: {}", signal, sent.error().text());
        }
      }(state_),
      asio::detached);
}

SignalRelay::~SignalRelay() {
  state_->ended = true;
  boost::system::error_code ignored;
  state_->signals.cancel(ignored);
}

Task<InitExit> wait_process(rpc::AgentClient& agent, const GuestProcessId& process,
                            ProcessStreams& streams) {
  agent::v1::WaitProcessRequest request;
  request.set_container_id(process.container_id);
  request.set_exec_id(process.exec_id);
  // A process may run for months: no deadline. The connection's end ends the wait.
  auto answer = co_await agent.wait_process(request, std::chrono::milliseconds::zero());
  const agent::v1::WaitProcessResponse exit = CO_TRY(std::move(answer), "wait for the process");
  co_await streams.wait_output_end();
  co_return InitExit{exit.exit_code(), exit.signal()};
}

void end_as(const InitExit& how) {
  if (how.signal == 0) ::_exit(static_cast<int>(how.code & 0xff));
  // The core file would be ours, not the container's.
  const rlimit none{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &none);
  (void)::prctl(PR_SET_DUMPABLE, 0);
  const int signal = static_cast<int>(how.signal);
  (void)::signal(signal, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  (void)::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  (void)::kill(::getpid(), signal);
  // A signal whose default is not death: what a shell would report.
  ::_exit(128 + signal);
}

}  // namespace agentvm::runtime
