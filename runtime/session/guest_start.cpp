#include "runtime/session/guest_start.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <csignal>
#include <ctime>
#include <optional>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "rpc/ports.h"
#include "runtime/session/guest_link.h"
#include "runtime/session/guest_moments.h"

namespace agentvm::runtime {

namespace {

vmm::MachineConfig machine_of(const GuestOrder& order, int socket_dir) {
  vmm::MachineConfig machine = order.machine;
  machine.shared_dir = order.directory + "/" + kSharedDirectory;
  machine.socket_dir = socket_dir;
  if (order.saved == nullptr) return machine;
  machine.start = vmm::MachineStart::restore;
  machine.memory_file = fmt::format("{}/{}/memory", order.directory, kMemoryDirectory);
  machine.saved = {order.saved->memory.get(), order.saved->state.get()};
  return machine;
}

std::string with_console(std::string sentence, const vmm::LiveMachine& machine) {
  const std::string tail = machine.console_tail();
  if (!tail.empty()) sentence += "; the guest's console said: " + tail;
  return sentence;
}

// The agent dials in once it serves. Whichever comes first counts: the connection, the machine's
// end, the deadline.
Task<UniqueFd> accept_agent(int listener, vmm::Machine& machine, std::chrono::milliseconds timeout,
                            std::optional<vmm::MachineEnd>& lost) {
  auto executor = co_await asio::this_coro::executor;
  // The signals live as long as the coroutines that they cancel, which end a little later.
  struct Race {
    explicit Race(const asio::any_io_executor& on) : over(on) {}
    Event over;
    bool connected = false;
    std::optional<vmm::MachineEnd> end;
    asio::cancellation_signal stop_listening;
    asio::cancellation_signal stop_watching;
  };
  auto race = std::make_shared<Race>(executor);
  asio::co_spawn(
      executor,
      [](std::shared_ptr<Race> r, int fd) -> asio::awaitable<void> {
        auto readable = co_await wait_readable(fd);
        r->connected = readable.has_value();
        r->over.set();
      }(race, listener),
      asio::bind_cancellation_slot(race->stop_listening.slot(),
                                   [race](const std::exception_ptr&) {}));
  asio::co_spawn(
      executor,
      [](std::shared_ptr<Race> r, vmm::Machine& watched) -> asio::awaitable<void> {
        auto end = co_await watched.wait_end();
        if (end) r->end = *end;
        r->over.set();
      }(race, machine),
      asio::bind_cancellation_slot(race->stop_watching.slot(),
                                   [race](const std::exception_ptr&) {}));
  const bool in_time = co_await race->over.wait_for(timeout);
  race->stop_listening.emit(asio::cancellation_type::all);
  race->stop_watching.emit(asio::cancellation_type::all);
  lost = race->end;
  if (race->end) co_return fail(ErrorKind::unavailable, describe_end(machine, *race->end));
  if (!in_time || !race->connected) {
    co_return fail(ErrorKind::unavailable,
                   with_console(fmt::format("the guest did not come up within {} ms "
                                            "(vm.boot_timeout_ms)",
                                            timeout.count()),
                                machine));
  }
  UniqueFd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection) co_return fail_errno(errno, "accept the agent's connection");
  co_return connection;
}

void mark_machine(Timings& timings, std::uint64_t begin_ns, const vmm::BootTimings& machine) {
  const auto mark = [&](const char* name, std::uint32_t at_us) {
    constexpr std::uint64_t kMicrosecond = 1000;
    if (at_us != 0) timings.mark_at(name, begin_ns + at_us * kMicrosecond);
  };
  mark("QEMU and backends run, confined", machine.backends_ready_us);
  mark("QEMU answers", machine.qemu_ready_us);
  mark("template's memory copied", machine.memory_copied_us);
  mark("template's state loaded", machine.state_loaded_us);
  mark("devices plugged, guest goes on", machine.resumed_us);
}

}  // namespace

Result<void> make_guest_directories(int directory) {
  for (const char* name : {kSharedDirectory, kVsockDirectory, kMemoryDirectory}) {
    if (::mkdirat(directory, name, 0700) != 0) return fail_errno(errno, "make the state");
  }
  return {};
}

Task<Guest> start_guest(GuestOrder order, std::optional<vmm::MachineEnd>& lost) {
  const std::string dial_in = fmt::format("{}_{}", kVsockSocket, rpc::kAgentPort);
  // By path: what is not in this process's mount namespace cannot be mounted into the backend's
  // jail, and a descriptor of a state directory may come from another one.
  const auto sockets = CO_TRY(sys::open_at(AT_FDCWD, order.directory + "/" + kVsockDirectory,
                                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  (void)::unlinkat(sockets.get(), dial_in.c_str(), 0);
  auto listener = CO_TRY(sys::listen_unix_at(sockets.get(), dial_in, 0600));
  Guest guest;
  const std::uint64_t begin_ns = monotonic_ns();
  auto started = co_await vmm::Machine::create(machine_of(order, sockets.get()), &lost);
  auto machine = CO_TRY(std::move(started), "start the VM");
  mark_machine(order.timings, begin_ns, machine->timings());
  auto connection =
      co_await accept_agent(listener.get(), *machine, order.machine.boot_timeout, lost);
  auto fd = CO_TRY(std::move(connection), "boot the VM");
  order.timings.mark("guest's agent has dialed in");
  // One connection is ours; nobody else may dial in.
  listener.reset();
  (void)::unlinkat(sockets.get(), dial_in.c_str(), 0);
  auto executor = co_await asio::this_coro::executor;
  auto client = CO_TRY(rpc::Client::create(executor, std::move(fd)));
  guest.agent = std::make_shared<rpc::AgentClient>(std::move(client));
  guest.machine = std::move(machine);
  co_return std::move(guest);
}

Task<void> configure_guest(rpc::AgentClient& agent, const Config& config,
                           const std::string& hostname, Timings& timings) {
  agent::v1::ConfigureRequest request;
  request.set_entropy(sys::random_bytes(64));
  request.set_machine_id(hexadecimal(sys::random_bytes(16)));
  request.set_hostname(hostname.empty() ? "agentvm" : hostname);
  request.set_debug_log(config.log.level == LogLevel::debug);
  std::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  request.set_realtime_ns(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
                          static_cast<std::uint64_t>(now.tv_nsec));
  auto answer = co_await agent.configure(request, config.vm.request_timeout);
  const agent::v1::ConfigureResponse configured = CO_TRY(std::move(answer), "configure the guest");
  mark_guest(timings, configured.moments());
  timings.mark("guest configured");
  co_return Result<void>{};
}

std::string describe_end(const vmm::LiveMachine& machine, const vmm::MachineEnd& end) {
  return with_console(
      fmt::format("the VM ended: {} {}", end.part, describe_wait_status(end.wait_status)), machine);
}

}  // namespace agentvm::runtime
