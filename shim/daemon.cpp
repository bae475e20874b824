#include <fcntl.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/server.h"
#include "shim/actions.h"
#include "shim/names.h"
#include "shim/state_root.h"
#include "shim/task_service.h"

namespace agentvm::shim {

namespace {

constexpr int kListener = 3;
// For containerd to take the last events, and for the answer to its last request.
constexpr std::chrono::milliseconds kDrainPatience{2000};
constexpr std::chrono::milliseconds kFarewell{50};

// containerd reads the FIFO `log` in the bundle. Ours is a reading end too: one that is not read
// any more must neither end us nor hold us up.
void open_log(bool debug) {
  log::Sink sink;
  sink.threshold = debug ? log::Level::debug : log::Level::info;
  auto fifo = sys::open_at(AT_FDCWD, "log", O_RDWR | O_NONBLOCK);
  if (!fifo) fifo = sys::open_at(AT_FDCWD, "/dev/null", O_WRONLY);
  if (fifo) sink.fd = std::move(*fifo);
  log::set_sink(std::move(sink));
}

Result<void> set_up_process() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno(errno, "block SIGCHLD");
  for (const int ignored : {SIGPIPE, SIGHUP}) (void)::signal(ignored, SIG_IGN);
  // The containers' stand-ins are orphans: they come to us.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return fail_errno(errno, "become subreaper");
  return {};
}

asio::awaitable<void> accept_all(rpc::Server& server, int listener) {
  const auto executor = co_await asio::this_coro::executor;
  for (;;) {
    if (auto ready = co_await wait_readable(listener); !ready) co_return;
    UniqueFd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) continue;
    agentvm::spawn<void>(executor, server.serve(std::move(connection)),
                         [](const Result<void>& ended) {
                           if (!ended) log::debug("connection: {}", ended.error().text());
                         });
  }
}

asio::awaitable<void> stop_on_signal(std::function<void()> stop) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGTERM, SIGINT);
  (void)co_await signals.async_wait(use_result);
  log::info("ended by a signal");
  stop();
}

asio::awaitable<void> farewell(asio::io_context& io, EventPublisher& events) {
  if (!co_await events.drain(kDrainPatience)) log::error("containerd has not taken every event");
  asio::steady_timer pause(io, kFarewell);
  (void)co_await pause.async_wait(use_result);
  io.stop();
}

}  // namespace

Result<int> run_serve(const Arguments& arguments) {
  (void)::fcntl(kListener, F_SETFD, FD_CLOEXEC);
  (void)::syscall(SYS_close_range, static_cast<unsigned>(kListener + 1), ~0U, 0U);
  UniqueFd listener(kListener);
  open_log(arguments.debug);
  TRY(set_up_process());
  const Names names = names_for(arguments.address, arguments.name_space, arguments.id);
  auto root = TRY(HeldStateRoot::hold(names.state_root));
  asio::io_context io(1);
  const auto reaper = TRY(Reaper::create(io.get_executor()));
  const char* address = ::getenv("TTRPC_ADDRESS");
  EventPublisher events(io.get_executor(), address != nullptr ? address : "", arguments.name_space);
  Containers containers;
  Surroundings surroundings{arguments.name_space, names.state_root, *reaper, events, containers};
  rpc::ServerLimits limits;
  limits.calls_per_connection = 2 * Containers::kMostExecs;  // containerd waits for each of them
  rpc::Server server(limits);
  bool stopping = false;
  const auto stop = [&] {
    if (std::exchange(stopping, true)) return;
    asio::co_spawn(io, farewell(io, events), asio::detached);
  };
  TaskService service(surroundings, stop);
  service.add_to(server);
  asio::co_spawn(io, accept_all(server, listener.get()), asio::detached);
  asio::co_spawn(io, stop_on_signal(stop), asio::detached);
  io.run();
  (void)::unlink(names.socket.c_str());
  root.release();
  // What is still in flight refers to the above.
  ::_exit(0);
}

}  // namespace agentvm::shim
