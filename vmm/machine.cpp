#include "vmm/machine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "oci/base/stopwatch.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "vmm/machine_growth.h"
#include "vmm/machine_parts.h"
#include "vmm/machine_restore.h"
#include "vmm/machine_state.h"
#include "vmm/qmp.h"

namespace agentvm::vmm {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long the last words of dead parts may take to arrive.
constexpr milliseconds kDrainPatience{1000};
constexpr milliseconds kEndPatience{2000};
// For QEMU to answer a command about a device.
constexpr milliseconds kPlugPatience{10000};

// Says which parts had gone by themselves and what they printed.
Task<Error> explain(Error error, std::shared_ptr<MachineState> state) {
  for (const auto& part : state->parts) {
    if (const auto status = part->child.poll_end()) {
      error.message += fmt::format("; {} {}", part->name, describe_wait_status(*status));
    }
  }
  state->end_all();
  if (state->listens()) (void)co_await state->errors_drained.wait_for(kDrainPatience);
  std::string tail = state->tail.text();
  std::replace(tail.begin(), tail.end(), '\n', ' ');
  if (!tail.empty()) error.message += fmt::format("; last words: {}", tail);
  co_return error;
}

class RunningMachine final : public Machine {
 public:
  RunningMachine(std::shared_ptr<MachineState> state, std::unique_ptr<Qmp> qmp, BootTimings timings,
                 MachineBounds bounds)
      : state_(std::move(state)), qmp_(std::move(qmp)), timings_(timings), bounds_(bounds) {}

  ~RunningMachine() override { state_->end_all(); }

  Task<MachineEnd> wait_end() override { return MachineState::wait_cause(state_); }

  Task<void> wait_console(std::string text, milliseconds timeout) override {
    auto said = co_await MachineState::wait_console(state_, std::move(text), timeout);
    if (said) co_return Result<void>{};
    auto explained = co_await explain(std::move(said).error(), state_);
    co_return std::unexpected(std::move(*explained));
  }

  Task<void> save(int fd, milliseconds timeout) override {
    auto stopped = co_await qmp_->stop(timeout);
    CO_TRY(std::move(stopped), "stop the guest");
    co_return co_await qmp_->save_state(fd, timeout);
  }

  Task<void> grow(MachineSize total) override {
    CO_TRY(check_growth(bounds_, total));
    auto memory = co_await grow_memory(bounds_, total.memory_mib, *qmp_, plugged_, kPlugPatience);
    CO_TRY(std::move(memory));
    if (total.vcpus <= bounds_.start.vcpus) co_return Result<void>{};
    co_return co_await grow_vcpus(total.vcpus, *qmp_, kPlugPatience);
  }

  Task<void> stop(milliseconds patience) override {
    const auto state = state_;
    const auto deadline = Clock::now() + patience;
    MachinePart& qemu = *state->parts.front();
    // In no order, which takes least: each takes its namespaces apart.
    if (patience.count() == 0) {
      for (const auto& part : state->parts) part->child.kill();
    } else if (!qemu.ended.is_set()) {
      // What it answers does not matter, only whether it goes.
      auto asked = co_await qmp_->quit(patience);
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
      const bool gone = asked && co_await qemu.ended.wait_for(std::max(left, milliseconds(0)));
      if (!gone) qemu.child.kill();
    }
    co_await qemu.ended.wait();
    for (const auto& part : state->parts) part->child.kill();
    for (const auto& part : state->parts) co_await part->ended.wait();
    co_return Result<void>{};
  }

  Task<void> plug_disk(Disk disk) override {
    return vmm::plug_disk(*qmp_, std::move(disk), kPlugPatience);
  }
  Task<void> plug_nic(Nic nic) override {
    return vmm::plug_nic(*qmp_, std::move(nic), kPlugPatience);
  }
  Task<void> unplug_nic(unsigned slot) override {
    return vmm::unplug_nic(*qmp_, slot, kPlugPatience);
  }

  [[nodiscard]] std::string console_tail() const override { return state_->tail.text(); }
  [[nodiscard]] BootTimings timings() const override { return timings_; }

  [[nodiscard]] std::vector<pid_t> pids() const override {
    std::vector<pid_t> pids;
    for (const auto& part : state_->parts) pids.push_back(part->child.pid());
    return pids;
  }

 private:
  std::shared_ptr<MachineState> state_;
  std::unique_ptr<Qmp> qmp_;
  BootTimings timings_;
  MachineBounds bounds_;
  PluggedMemory plugged_;
};

// All three forked before the first is waited for.
struct StartingParts {
  std::vector<JailStart> starts;
  std::vector<std::string> names;
};

Result<StartingParts> begin_parts(const MachineConfig& config, const MachineWires& wires) {
  const pid_t monitor = ::getpid();
  const bool backends = config.start != MachineStart::make_template;
  if (config.jail && backends) TRY(lend_socket_dir(config.socket_dir, vsock_uid(monitor)));
  // QEMU first, since its own start takes longest; it waits for the backends in their sockets.
  std::vector<JailSpec> specs;
  specs.push_back(TRY(qemu_part(config, wires, monitor)));
  if (backends) {
    specs.push_back(TRY(virtiofsd_part(config, wires)));
    specs.push_back(TRY(vsock_part(config, wires, monitor)));
  }
  StartingParts starting;
  for (const JailSpec& spec : specs) {
    auto start = TRY(JailStart::begin(spec));
    starting.starts.push_back(std::move(start));
    starting.names.push_back(spec.name);
  }
  return starting;
}

Task<void> finish_parts(StartingParts starting, std::shared_ptr<MachineState> state) {
  for (std::size_t i = 0; i < starting.starts.size(); ++i) {
    auto finished = co_await std::move(starting.starts[i]).finish();
    auto child = CO_TRY(std::move(finished));
    state->add_part(starting.names[i], std::move(child));
  }
  co_return Result<void>{};
}

Task<std::unique_ptr<Machine>> boot(const MachineConfig& config, MachineWires wires,
                                    std::shared_ptr<MachineState> state) {
  const Stopwatch watch;
  auto memory = CO_TRY(begin_memory(config));
  auto starting = CO_TRY(begin_parts(config, wires));
  auto finished = co_await finish_parts(std::move(starting), state);
  CO_TRY(std::move(finished));
  BootTimings timings;
  timings.backends_ready_us = watch.us();
  UniqueFd qmp_socket = std::move(wires.qmp_ours);
  state->listen(std::move(wires.console_ours), std::move(wires.errors_ours));
  // From here on a part that dies closes its sockets.
  wires = MachineWires{};
  auto connected = co_await Qmp::connect(std::move(qmp_socket), config.boot_timeout);
  // A QEMU that gives up closes its sockets a moment before its end can be seen.
  if (!connected) (void)co_await state->parts.front()->ended.wait_for(kEndPatience);
  auto qmp = CO_TRY(std::move(connected), "start QEMU");
  timings.qemu_ready_us = watch.us();
  if (memory.copy) {
    auto restored = co_await restore_guest(config, *qmp, memory, watch, timings);
    CO_TRY(std::move(restored));
  }
  const MachineBounds bounds{MachineSize{config.vcpus, config.memory_mib}, config.most};
  co_return std::make_unique<RunningMachine>(std::move(state), std::move(qmp), timings, bounds);
}

}  // namespace

Task<std::unique_ptr<Machine>> Machine::create(MachineConfig config,
                                               std::optional<MachineEnd>* lost) {
  UniqueFd directory;
  if (config.start != MachineStart::make_template) {
    directory = CO_TRY(sys::open_at(config.socket_dir, ".", O_RDONLY | O_DIRECTORY),
                       "open the socket directory");
  }
  auto wires = CO_TRY(make_wires(config));
  auto state =
      std::make_shared<MachineState>(co_await asio::this_coro::executor, std::move(directory));
  auto machine = co_await boot(config, std::move(wires), state);
  if (machine) {
    state->together = false;
    co_return std::move(*machine);
  }
  if (lost != nullptr) *lost = state->end;
  auto explained = co_await explain(std::move(machine).error(), state);
  co_return std::unexpected(std::move(*explained));
}

}  // namespace agentvm::vmm
