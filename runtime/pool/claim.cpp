#include "runtime/pool/claim.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/channel.h"
#include "runtime/growth.h"
#include "runtime/pool/holder.h"
#include "runtime/pool/place.h"
#include "runtime/session/guest_link.h"

namespace agentvm::runtime {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLockPatience{1000};

bool same_file_system(int one, int other) {
  struct stat first{};
  struct stat second{};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 && first.st_dev == second.st_dev;
}

// Two creates may want the same one: the first that has the lock gets it.
Result<ClaimedVm> claim_place(PoolPlace& place, const StateDir& container) {
  auto lock = TRY(place.dir.lock(kLockPatience));
  place.record = TRY(place.dir.load());
  if (!waits(place.record)) return fail(ErrorKind::not_found, "it has been taken");
  ClaimedVm claimed;
  claimed.place = place.dir.path();
  claimed.cgroup = place.record.cgroup;
  claimed.socket = TRY(sys::connect_unix_at(place.dir.fd(), kHolderSocket), "reach its holder");
  if (::renameat(place.dir.fd(), kVsockDirectory, container.fd(), kVsockDirectory) != 0) {
    return fail_errno(errno, "move the sockets of its vsock");
  }
  place.record.status = Status::running;
  place.record.bundle = container.path();
  TRY(place.dir.store(place.record, lock));
  return claimed;
}

Result<std::optional<ClaimedVm>> find_and_claim(const Config& config,
                                                const vmm::MachineConfig& machine,
                                                const StateDir& container) {
  const auto key = TRY(make_pool_key(machine));
  const auto pool = TRY(StateRoot::open(config.pool.directory));
  for (PoolPlace& place : TRY(list_places(pool))) {
    if (!has_key(place.record, key) || !waits(place.record)) continue;
    if (!same_file_system(place.dir.fd(), container.fd())) {
      return fail(ErrorKind::failed_precondition,
                  fmt::format("'{}' and '{}' are on different file systems (pool.directory)",
                              config.pool.directory, container.path()));
    }
    auto claimed = claim_place(place, container);
    if (claimed) return std::optional(*std::move(claimed));
    log::debug("VM '{}' cannot be taken: {}", place.dir.id(), claimed.error().text());
  }
  return std::nullopt;
}

// "part\nstatus\nconsole", as the holder sends it.
struct End {
  vmm::MachineEnd end{std::string(kHolder), SIGKILL};
  std::string console;
};

End parse_end(const std::string& text) {
  End parsed;
  const std::size_t first = text.find('\n');
  const std::size_t second = first == std::string::npos ? first : text.find('\n', first + 1);
  if (second == std::string::npos) return parsed;
  parsed.end = {text.substr(0, first), std::atoi(text.c_str() + first + 1)};
  parsed.console = text.substr(second + 1);
  return parsed;
}

class ClaimedMachine final : public vmm::LiveMachine {
 public:
  ClaimedMachine(const asio::any_io_executor& executor, Channel holder)
      : state_(std::make_shared<State>(executor, std::move(holder))) {
    asio::co_spawn(executor, listen(state_), asio::detached);
  }
  // The holder sees it and ends the VM.
  ~ClaimedMachine() override { (void)::shutdown(state_->channel.fd(), SHUT_RDWR); }
  ClaimedMachine(const ClaimedMachine&) = delete;
  ClaimedMachine& operator=(const ClaimedMachine&) = delete;

  Task<vmm::MachineEnd> wait_end() override {
    const auto state = state_;
    co_await state->ended.wait();
    co_return state->end.end;
  }

  Task<void> grow(vmm::MachineSize total) override {
    Message question{MessageType::grow, write_size(total), {}};
    return ask(std::move(question));
  }

  // The holder has reaped all parts when it closes its end.
  Task<void> stop(milliseconds /*patience*/) override {
    const auto state = state_;
    (void)state->channel.send({MessageType::stop, "", {}});
    co_await state->gone.wait();
    co_return Result<void>{};
  }

  Task<void> plug_disk(vmm::Disk disk) override {
    state_->disk_failed = std::move(disk.failed);
    Message question{MessageType::plug_disk, "", {}, std::move(disk.image)};
    return ask(std::move(question));
  }
  Task<void> plug_nic(vmm::Nic nic) override {
    Message question{MessageType::plug_nic, encode_nic(nic), {}, std::move(nic.tap)};
    return ask(std::move(question));
  }
  Task<void> unplug_nic(unsigned slot) override {
    Message question{MessageType::unplug_nic, fmt::format("{}", slot), {}};
    return ask(std::move(question));
  }

  [[nodiscard]] std::string console_tail() const override { return state_->end.console; }

 private:
  struct State {
    State(const asio::any_io_executor& executor, Channel holder)
        : channel(std::move(holder)), ended(executor), gone(executor) {}
    Channel channel;
    End end;
    Event ended;
    Event gone;
    std::function<void(std::string)> disk_failed;
    std::shared_ptr<Event> answered;  // of the one question that is under way
    Result<void> answer;
  };

  // One after the other. The holder's deadlines are QEMU's.
  Task<void> ask(Message message) {
    const auto state = state_;
    while (const auto other = state->answered) co_await other->wait();
    if (state->gone.is_set()) co_return fail(ErrorKind::unavailable, "the VM has ended");
    const auto answered = std::make_shared<Event>(co_await asio::this_coro::executor);
    state->answered = answered;
    state->answer = fail(ErrorKind::unavailable, fmt::format("{} died", kHolder));
    if (auto sent = state->channel.send(message); !sent) {
      state->answered.reset();
      co_return sent;
    }
    message.fd.reset();
    co_await answered->wait();
    co_return state->answer;
  }

  static void take_answer(State& state, Message message) {
    if (!state.answered) return;
    if (message.type == MessageType::done) state.answer = {};
    if (message.type == MessageType::failed) {
      state.answer = std::unexpected(std::move(message.error));
    }
    std::exchange(state.answered, nullptr)->set();
  }

  static asio::awaitable<void> listen(std::shared_ptr<State> state) {
    for (;;) {
      auto message = co_await state->channel.async_receive();
      if (!message || !*message) break;
      if ((*message)->type == MessageType::disk_failed) {
        if (state->disk_failed) state->disk_failed(std::move((*message)->text));
        continue;
      }
      if ((*message)->type != MessageType::ended) {
        take_answer(*state, *std::move(*message));
        continue;
      }
      state->end = parse_end((*message)->text);
      state->ended.set();
    }
    state->ended.set();
    state->gone.set();
    take_answer(*state, {MessageType::ended, "", {}});
  }

  std::shared_ptr<State> state_;
};

}  // namespace

std::optional<ClaimedVm> claim_vm(const Config& config, const vmm::MachineConfig& machine,
                                  const StateDir& container) {
  if (config.pool.size == 0) return std::nullopt;
  auto claimed = find_and_claim(config, machine, container);
  if (claimed) return *std::move(claimed);
  log::warning("no VM of the pool can be used: {}", claimed.error().text());
  return std::nullopt;
}

Task<std::unique_ptr<vmm::LiveMachine>> take_over(UniqueFd socket, const std::string& shared_dir,
                                                  milliseconds timeout) {
  const UniqueFd tree(::open_tree(AT_FDCWD, shared_dir.c_str(),
                                  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree) co_return fail_errno(errno, "clone the shared directory");
  const int fd = tree.get();
  CO_TRY(sys::send_fds(socket.get(), "share", std::span(&fd, 1)), "hand over the share");
  Channel channel(std::move(socket));
  CO_TRY(channel.expect(MessageType::done, timeout, kHolder));
  co_return std::make_unique<ClaimedMachine>(co_await asio::this_coro::executor,
                                             std::move(channel));
}

}  // namespace agentvm::runtime
