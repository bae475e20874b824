#include "runtime/start_gate.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "oci/base/sys.h"
#include "runtime/lock_wait.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

UniqueFd open_lock(const TempDir& dir, const std::string& name) {
  return *sys::open_at(AT_FDCWD, dir / name, O_RDWR | O_CREAT, 0600);
}

TEST(WaitForOneLock, TakesTheOneThatIsFree) {
  const TempDir dir;
  const UniqueFd held = open_lock(dir, "a");
  ASSERT_EQ(::flock(held.get(), LOCK_EX), 0);
  const UniqueFd a = open_lock(dir, "a");
  const UniqueFd b = open_lock(dir, "b");
  const int fds[] = {a.get(), b.get()};
  const auto index = wait_for_one_lock(fds, seconds(5));
  ASSERT_TRUE(index) << index.error().text();
  EXPECT_EQ(*index, 1U);
}

TEST(WaitForOneLock, WaitsForTheFirstToBecomeFree) {
  const TempDir dir;
  UniqueFd holders[] = {open_lock(dir, "a"), open_lock(dir, "b")};
  for (const UniqueFd& holder : holders) ASSERT_EQ(::flock(holder.get(), LOCK_EX), 0);
  const UniqueFd a = open_lock(dir, "a");
  const UniqueFd b = open_lock(dir, "b");
  const int fds[] = {a.get(), b.get()};
  const auto late = wait_for_one_lock(fds, milliseconds(30));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::unavailable);
  const pid_t helper = ::fork();
  if (helper == 0) {
    holders[0].reset();
    ::usleep(50'000);
    ::_exit(0);  // the last that holds "b", once ours are closed
  }
  holders[0].reset();
  holders[1].reset();
  const auto index = wait_for_one_lock(fds, seconds(20));
  ASSERT_TRUE(index) << index.error().text();
  ::waitpid(helper, nullptr, 0);
}

// In one process: each place is an open file of its own.
TEST(StartGate, LetsAsManyInAsThereArePlaces) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  auto entered = StartGate::enter(1, seconds(60));
  ASSERT_TRUE(entered) << entered.error().text();
  std::optional<StartGate> first(*std::move(entered));
  const auto second = StartGate::enter(1, milliseconds(20));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::unavailable);
  EXPECT_TRUE(second.error().text().starts_with("wait for 1 other VMs to start"));
  first.reset();
  EXPECT_TRUE(StartGate::enter(1, seconds(60)));
}

TEST(StartGate, IsLeftByAProcessThatIsKilled) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  auto [read_end, write_end] = *sys::pipe();
  const pid_t holder = ::fork();
  if (holder == 0) {
    const auto place = StartGate::enter(1, seconds(60));
    (void)!::write(write_end.get(), place ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(read_end.get(), &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  EXPECT_TRUE(StartGate::enter(1, seconds(20)));
}

}  // namespace
}  // namespace agentvm::runtime
