#include "shim/reaper.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace agentvm::shim {
namespace {

class ReaperTest : public testing::Test {
 protected:
  void SetUp() override {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &set, &before_);
    reaper_ = std::move(*Reaper::create(io_.get_executor()));
  }
  void TearDown() override {
    // Its coroutine ends with the loop's objects.
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }

  static pid_t child(int status) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(status);
    return pid;
  }
  // Until `pid` is a zombie, without reaping it.
  static void wait_dead(pid_t pid) {
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  }
  int wait(pid_t pid) {
    int status = -1;
    asio::co_spawn(
        io_,
        [](Reaper& reaper, pid_t of, int& out, asio::io_context& io) -> asio::awaitable<void> {
          out = co_await reaper.wait(of);
          io.stop();
        }(*reaper_, pid, status, io_),
        asio::detached);
    io_.restart();
    io_.run_for(std::chrono::seconds(20));
    return status;
  }

  sigset_t before_{};
  std::unique_ptr<Reaper> reaper_;
  asio::io_context io_{1};
};

TEST_F(ReaperTest, TellsHowAChildEnded) {
  EXPECT_EQ(WEXITSTATUS(wait(child(7))), 7);
}

TEST_F(ReaperTest, RemembersAnEarlyEndWhileSomebodyHoldsIt) {
  const Reaper::Hold hold(*reaper_);
  const pid_t early = child(5);
  wait_dead(early);
  // The loop reaps both, and nobody had asked for the first.
  EXPECT_EQ(WEXITSTATUS(wait(child(6))), 6);
  EXPECT_EQ(WEXITSTATUS(wait(early)), 5);
}

TEST_F(ReaperTest, TellsEveryEndOfMany) {
  std::vector<pid_t> children;
  for (int i = 0; i < 20; ++i) children.push_back(child(i));
  const Reaper::Hold hold(*reaper_);
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(WEXITSTATUS(wait(children[static_cast<std::size_t>(i)])), i);
}

}  // namespace
}  // namespace agentvm::shim
