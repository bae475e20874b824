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
// Longer than the holder gives QEMU for it.
constexpr milliseconds kGrowPatience{60000};

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

  // The holder does it, one at a time.
  Task<void> grow(vmm::MachineSize total) override {
    const auto state = state_;
    if (state->answered && !state->answered->is_set()) {
      co_return fail(ErrorKind::failed_precondition, "the VM is growing already");
    }
    state->answered = std::make_shared<Event>(co_await asio::this_coro::executor);
    const auto answered = state->answered;
    CO_TRY(state->channel.send({MessageType::grow, write_size(total), {}}));
    if (!co_await answered->wait_for(kGrowPatience)) {
      co_return fail(ErrorKind::unavailable, fmt::format("{} does not answer", kHolder));
    }
    co_return state->grown;
  }

  // The holder has reaped all parts when it closes its end.
  Task<void> stop(milliseconds /*patience*/) override {
    const auto state = state_;
    (void)state->channel.send({MessageType::stop, "", {}});
    co_await state->gone.wait();
    co_return Result<void>{};
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
    std::shared_ptr<Event> answered;  // of the last grow()
    Result<void> grown;
  };

  static void note_grown(State& state, Result<void> outcome) {
    if (!state.answered || state.answered->is_set()) return;
    state.grown = std::move(outcome);
    state.answered->set();
  }

  static asio::awaitable<void> listen(std::shared_ptr<State> state) {
    for (;;) {
      auto message = co_await state->channel.async_receive();
      if (!message || !*message) break;
      const MessageType type = (*message)->type;
      if (type == MessageType::done) note_grown(*state, {});
      if (type == MessageType::failed) {
        note_grown(*state, std::unexpected(std::move((*message)->error)));
      }
      if (type != MessageType::ended) continue;
      state->end = parse_end((*message)->text);
      state->ended.set();
    }
    note_grown(*state, fail(ErrorKind::unavailable, "the VM has ended"));
    state->ended.set();
    state->gone.set();
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
