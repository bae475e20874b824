#include "shim/guest.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "oci/base/try.h"
#include "runtime/session/guest_link.h"

namespace agentvm::shim {

namespace {

constexpr std::chrono::milliseconds kTimeout{10000};

}  // namespace

Result<std::unique_ptr<Guest>> Guest::open(const std::string& root, const std::string& id) {
  const auto state = TRY(runtime::StateRoot::open(root));
  auto dir = TRY(state.open_container(id));
  return std::unique_ptr<Guest>(new Guest(std::move(dir)));
}

Task<std::shared_ptr<rpc::AgentClient>> Guest::agent() {
  if (!agent_) {
    const runtime::GuestLink link{dir_.fd(), kTimeout};
    auto connected = co_await runtime::connect_agent(link);
    agent_ = CO_TRY(std::move(connected));
  }
  co_return agent_;
}

void Guest::forget(const std::shared_ptr<rpc::AgentClient>& agent, const Error& error) {
  if (error.kind == ErrorKind::unavailable && agent_ == agent) agent_.reset();
}

Task<void> Guest::signal(std::string exec, std::uint32_t number, bool all) {
  auto connected = co_await agent();
  const auto client = CO_TRY(std::move(connected));
  agent::v1::SignalProcessRequest request;
  request.set_container_id(dir_.id());
  request.set_exec_id(exec);
  request.set_signal(number);
  request.set_all(all);
  auto answer = co_await client->signal_process(request, kTimeout);
  if (!answer) forget(client, answer.error());
  CO_TRY(std::move(answer));
  co_return Result<void>{};
}

Task<agent::v1::ContainerStatsResponse> Guest::stats() {
  auto connected = co_await agent();
  const auto client = CO_TRY(std::move(connected));
  agent::v1::ContainerStatsRequest request;
  request.set_container_id(dir_.id());
  auto answer = co_await client->container_stats(request, kTimeout);
  if (!answer) forget(client, answer.error());
  co_return answer;
}

Task<agent::v1::WaitOomResponse> Guest::wait_oom(std::uint64_t seen) {
  auto connected = co_await agent();
  const auto client = CO_TRY(std::move(connected));
  agent::v1::WaitOomRequest request;
  request.set_container_id(dir_.id());
  request.set_seen(seen);
  co_return co_await client->wait_oom(request, rpc::kNoDeadline);
}

Task<runtime::InitExit> Guest::wait_recorded_exit() {
  const UniqueFd changes(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!changes) co_return fail_errno(errno, "inotify");
  const std::string path = dir_.path();
  // The record is written aside and renamed.
  if (::inotify_add_watch(changes.get(), path.c_str(), IN_MOVED_TO | IN_DELETE_SELF) < 0) {
    co_return fail_errno(errno, "watch the container's record");
  }
  for (;;) {
    const runtime::ContainerRecord record = CO_TRY(dir_.load());
    if (record.init_exit) co_return *record.init_exit;
    auto changed = co_await wait_readable(changes.get());
    CO_TRY(std::move(changed));
    std::array<char, 4096> events{};
    while (::read(changes.get(), events.data(), events.size()) > 0) {
    }
  }
}

Result<std::string> Guest::exec_name(pid_t pid) const {
  const auto record = TRY(dir_.load());
  for (const runtime::ExecRecord& exec : record.execs) {
    if (exec.stand_in.pid == pid) return exec.id;
  }
  return fail(ErrorKind::not_found, "process already finished");
}

}  // namespace agentvm::shim
