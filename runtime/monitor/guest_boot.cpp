#include "runtime/monitor/guest_boot.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <ctime>
#include <optional>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "rpc/ports.h"
#include "runtime/session/guest_link.h"

namespace agentvm::runtime {

namespace {

vmm::MachineConfig machine_config(const MonitorPlan& plan, int socket_dir) {
  vmm::MachineConfig machine;
  machine.qemu = plan.programs.qemu;
  machine.virtiofsd = plan.programs.virtiofsd;
  machine.vsock_backend = plan.programs.vsock_backend;
  machine.kernel = plan.programs.kernel;
  machine.initramfs = plan.programs.initramfs;
  machine.kernel_parameters = plan.config.vm.kernel_parameters;
  machine.accelerator = plan.accelerator.accelerator;
  machine.vcpus = plan.size.vcpus;
  machine.memory_mib = plan.size.memory_mib;
  machine.tsc_khz = plan.tsc_khz;
  machine.shared_dir = plan.dir->path() + "/shared";
  machine.socket_dir = socket_dir;
  machine.kvm_device = plan.config.vm.kvm_device;
  machine.boot_timeout = plan.config.vm.boot_timeout;
  machine.jail = plan.config.security.jail == JailChoice::on;
  return machine;
}

std::string with_console(std::string sentence, const vmm::Machine& machine) {
  const std::string tail = machine.console_tail();
  if (!tail.empty()) sentence += "; the guest's console said: " + tail;
  return sentence;
}

// The agent dials in once it serves. Whichever comes first counts: the connection, the machine's
// end, the deadline.
Task<UniqueFd> accept_agent(int listener, vmm::Machine& machine,
                            std::chrono::milliseconds timeout) {
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

Task<std::string> configure(rpc::AgentClient& agent, const MonitorPlan& plan) {
  agent::v1::ConfigureRequest request;
  request.set_entropy(sys::random_bytes(64));
  request.set_machine_id(hexadecimal(sys::random_bytes(16)));
  request.set_hostname(plan.spec.hostname.empty() ? "agentvm" : plan.spec.hostname);
  request.set_debug_log(plan.config.log.level == LogLevel::debug);
  std::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  request.set_realtime_ns(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
                          static_cast<std::uint64_t>(now.tv_nsec));
  auto answer = co_await agent.configure(request, plan.config.vm.request_timeout);
  const agent::v1::ConfigureResponse configured = CO_TRY(std::move(answer), "configure the guest");
  co_return configured.kernel_release();
}

}  // namespace

std::string describe_end(const vmm::Machine& machine, const vmm::MachineEnd& end) {
  return with_console(
      fmt::format("the VM ended: {} {}", end.part, describe_wait_status(end.wait_status)), machine);
}

Task<Guest> boot_guest(const MonitorPlan& plan) {
  const std::string dial_in = fmt::format("{}_{}", kVsockSocket, rpc::kAgentPort);
  // By path, not beneath the state directory's descriptor: that belongs to the caller's mount
  // namespace, and what is not in our own cannot be mounted into the backend's jail.
  const auto sockets =
      CO_TRY(sys::open_at(AT_FDCWD, plan.dir->path() + "/" + kVsockDirectory,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  auto listener = CO_TRY(sys::listen_unix_at(sockets.get(), dial_in, 0600));
  Guest guest;
  auto machine = co_await vmm::Machine::create(machine_config(plan, sockets.get()));
  guest.machine = CO_TRY(std::move(machine), "start the VM");
  auto connection =
      co_await accept_agent(listener.get(), *guest.machine, plan.config.vm.boot_timeout);
  auto fd = CO_TRY(std::move(connection), "boot the VM");
  // One connection is the monitor's; nobody else may dial in.
  listener.reset();
  (void)::unlinkat(sockets.get(), dial_in.c_str(), 0);
  auto executor = co_await asio::this_coro::executor;
  auto client = CO_TRY(rpc::Client::create(executor, std::move(fd)));
  guest.agent = std::make_shared<rpc::AgentClient>(std::move(client));
  auto release = co_await configure(*guest.agent, plan);
  guest.kernel_release = CO_TRY(std::move(release));
  co_return std::move(guest);
}

}  // namespace agentvm::runtime
