#include "guest-agent/reaper.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "guest-agent/blocking_call.h"
#include "oci/base/try.h"

namespace agentvm::guest {
namespace {

pid_t fork_exit(int code) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(code);
  return pid;
}

Task<int> exit_code(Reaper& reaper, pid_t pid) {
  auto status = co_await reaper.wait(pid);
  co_return WEXITSTATUS(CO_TRY(std::move(status)));
}

// Until the reaper has seen `pid` end: another child is waited for that ends later.
Task<int> after_it_was_reaped(Reaper& reaper, pid_t pid) {
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  const pid_t later = fork_exit(0);
  auto ended = co_await reaper.wait(later);
  co_return ended;
}

TEST(Reaper, TellsHowAWatchedChildEnded) {
  asio::io_context io;
  Reaper reaper(io.get_executor());
  EXPECT_EQ(*run_to_end(io, exit_code(reaper, fork_exit(7))), 7);
}

TEST(Reaper, KeepsTheStatusOfAChildThatDiesBeforeItIsWatched) {
  asio::io_context io;
  Reaper reaper(io.get_executor());
  const auto task = [](Reaper& the_reaper) -> Task<int> {
    const auto launching = the_reaper.launching();
    const pid_t pid = fork_exit(9);
    auto reaped = co_await after_it_was_reaped(the_reaper, pid);
    CO_TRY(std::move(reaped));
    auto code = co_await exit_code(the_reaper, pid);
    co_return code;
  };
  EXPECT_EQ(*run_to_end(io, task(reaper)), 9);
}

TEST(Reaper, ForgetsOrphansWhenNothingIsBeingLaunched) {
  asio::io_context io;
  Reaper reaper(io.get_executor());
  bool told = false;
  const auto task = [](Reaper& the_reaper, bool& flag) -> Task<int> {
    const pid_t pid = fork_exit(9);
    auto reaped = co_await after_it_was_reaped(the_reaper, pid);
    CO_TRY(std::move(reaped));
    // The same number again, as if pids had come around: no stale status may turn up.
    const auto launching = the_reaper.launching();
    the_reaper.watch(pid, [&flag](int) { flag = true; });
    auto other = co_await exit_code(the_reaper, fork_exit(3));
    co_return other;
  };
  EXPECT_EQ(*run_to_end(io, task(reaper, told)), 3);
  EXPECT_FALSE(told);
}

TEST(CallInChild, BringsTheErrnoHome) {
  asio::io_context io;
  Reaper reaper(io.get_executor());
  const auto fine = run_to_end(io, call_in_child(reaper, "do nothing", [] { return 0; }));
  EXPECT_TRUE(fine.has_value());
  io.restart();
  const auto failed = run_to_end(io, call_in_child(reaper, "do it", [] { return ENOSPC; }));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().text(), "do it: No space left on device");
}

TEST(CallApart, BringsTheErrnoHome) {
  asio::io_context io;
  Reaper reaper(io.get_executor());
  errno = 0;
  const auto fine = run_to_end(io, call_apart(reaper, "do nothing", {SYS_getpid, {}}));
  // A result is no error: 0 is all that is told of it.
  EXPECT_TRUE(fine.has_value());
  io.restart();
  const auto failed = run_to_end(
      io, call_apart(reaper, "do it",
                     {SYS_umount2, {reinterpret_cast<std::uintptr_t>("/nowhere/at/all"), 0}}));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().errnum, ENOENT);
  EXPECT_EQ(failed.error().text(), "do it: No such file or directory");
}

TEST(CallApart, SeesTheMemoryOfTheCaller) {
  asio::io_context io;
  Reaper reaper(io.get_executor());
  std::array<char, 64> name{};
  const auto named =
      run_to_end(io, call_apart(reaper, "read",
                                {SYS_readlink,
                                 {reinterpret_cast<std::uintptr_t>("/proc/self/exe"),
                                  reinterpret_cast<std::uintptr_t>(name.data()), name.size()}}));
  EXPECT_TRUE(named.has_value());
  EXPECT_EQ(name.front(), '/');
}

TEST(CallApart, DoesNotWaitPastItsLimit) {
  asio::io_context io;
  Reaper reaper(io.get_executor());
  static const timespec pause{0, 200'000'000};
  const auto outcome =
      run_to_end(io, call_apart(reaper, "sleep",
                                {SYS_nanosleep, {reinterpret_cast<std::uintptr_t>(&pause), 0}},
                                std::chrono::milliseconds(20)));
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().text(), "sleep: not done in 20 ms");
  EXPECT_GT(::waitpid(-1, nullptr, 0), 0) << "it goes on in what the reaper keeps for it";
}

}  // namespace
}  // namespace agentvm::guest
