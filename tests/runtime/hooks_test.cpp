#include "runtime/hooks.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "oci/base/sys.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string read(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class HooksTest : public ::testing::Test {
 protected:
  oci::Hook script(const std::string& name, const std::string& body) {
    oci::Hook hook;
    hook.path = temp_.write(name, "#!/bin/sh\n" + body, 0755);
    return hook;
  }
  std::string error_of(const std::vector<oci::Hook>& hooks) {
    auto ran = run_hooks(HookKind::create_runtime, hooks, context_);
    return ran ? "no error" : ran.error().text();
  }

  TempDir temp_;
  HookContext context_{.state_json = R"({"id":"web"})"};
};

TEST_F(HooksTest, GetTheStateTheirArgsAndNothingButTheirEnv) {
  oci::Hook hook = script("a",
                          "cat > $OUT/state; echo \"$0 $*\" > $OUT/args; "
                          "/usr/bin/env > $OUT/env; ls /proc/self/fd > $OUT/fds");
  hook.args = {"first", "second word"};
  hook.env = {"OUT=" + temp_.path()};
  const UniqueFd leaked(::open("/dev/null", O_RDONLY));  // no CLOEXEC: as a shim's stray socket
  ASSERT_EQ(error_of({hook}), "no error");
  EXPECT_EQ(read(temp_ / "state"), context_.state_json);
  // A script's $0 is its path; the arguments after argv[0] are the hook's.
  EXPECT_EQ(read(temp_ / "args"), hook.path + " second word\n");
  EXPECT_THAT(read(temp_ / "env"), HasSubstr("OUT=" + temp_.path() + "\n"));
  EXPECT_THAT(read(temp_ / "env"), Not(HasSubstr("HOME=")));
  EXPECT_EQ(read(temp_ / "fds"), "0\n1\n2\n3\n");  // 3 is ls's own
}

TEST_F(HooksTest, RunInOrderAndStopAtTheFirstFailure) {
  const auto note = [&](const std::string& name, const std::string& more) {
    return script(name, "echo " + name + " >> " + (temp_ / "order") + "\n" + more);
  };
  EXPECT_EQ(error_of({note("a", ""), note("b", "echo out; echo no >&2; exit 3"), note("c", "")}),
            "error running createRuntime hook #1: exit status 3, stdout: out, stderr: no");
  EXPECT_EQ(read(temp_ / "order"), "a\nb\n");
}

TEST_F(HooksTest, AllRunWhenTheirFailuresAreOnlyWarnings) {
  const auto failures =
      run_every_hook(HookKind::poststop,
                     std::vector{script("a", "exit 1"), script("b", "touch " + (temp_ / "ran")),
                                 script("c", "kill -9 $$")},
                     context_);
  ASSERT_THAT(failures, SizeIs(2));
  EXPECT_EQ(failures[0].text(),
            "error running poststop hook #0: exit status 1, stdout: , stderr: ");
  EXPECT_EQ(failures[1].text(),
            "error running poststop hook #2: signal: Killed, stdout: , stderr: ");
  EXPECT_TRUE(std::filesystem::exists(temp_ / "ran"));
}

TEST_F(HooksTest, AreKilledWithTheirWholeGroupAtTheirTimeout) {
  oci::Hook hook =
      script("a", "/bin/sleep 1000 &\necho $! > " + (temp_ / "pid") + "\necho waiting >&2\nwait");
  hook.timeout_s = 1;
  EXPECT_EQ(error_of({hook}),
            "error running createRuntime hook #0: hook ran past specified timeout of 1 s, "
            "stdout: , stderr: waiting");
  // The grandchild is no child of ours: its end is seen through a pidfd, or it is gone already.
  const pid_t sleeper = std::stoi(read(temp_ / "pid"));
  if (auto pidfd = sys::pidfd_open(sleeper)) {
    pollfd entry{pidfd->get(), POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, 60'000), 1);
  }
}

TEST_F(HooksTest, CannotEscapeTheirTimeoutByLeavingTheirGroup) {
  // perl is essential on Debian; a shell has no setpgid(2).
  if (!std::filesystem::exists("/usr/bin/perl")) GTEST_SKIP() << "needs perl";
  oci::Hook hook;
  hook.path = "/usr/bin/perl";
  hook.args = {"perl", "-e", "setpgrp(0, getpgrp(getppid)) or die; sleep 1000"};
  hook.timeout_s = 1;
  EXPECT_THAT(error_of({hook}), HasSubstr("hook ran past specified timeout of 1 s"));
}

TEST_F(HooksTest, MayLeaveADaemonBehindThatHoldsTheirOutput) {
  EXPECT_EQ(error_of({script("a", "/bin/sleep 1000 &\necho $! > " + (temp_ / "pid"))}), "no error");
  const pid_t daemon = std::stoi(read(temp_ / "pid"));
  EXPECT_EQ(::kill(daemon, SIGKILL), 0);
}

TEST_F(HooksTest, NeedNotReadTheState) {
  context_.state_json = std::string(4 << 20, 'x');
  EXPECT_EQ(error_of({script("a", "exit 0")}), "no error");
}

TEST_F(HooksTest, AreBoundedInWhatTheyMaySay) {
  auto ran = run_hooks(HookKind::prestart,
                       std::vector{script("a",
                                          "head -c 1000000 /dev/zero | tr '\\0' 'y'; "
                                          "printf '\\033[2Jend'; exit 1")},
                       context_);
  ASSERT_FALSE(ran);
  EXPECT_THAT(ran.error().text(), HasSubstr("yyyy [2Jend, stderr: "));
  EXPECT_LT(ran.error().text().size(), 4300U);
}

TEST_F(HooksTest, ThatCannotBeExecutedAreNamedWithoutErrnosWords) {
  oci::Hook hook;
  hook.path = temp_ / "none";
  EXPECT_EQ(error_of({hook}), "error running createRuntime hook #0: '" + hook.path +
                                  "' or its interpreter is missing on this host");
  hook.path = temp_.write("plain", "", 0644);
  EXPECT_EQ(error_of({hook}),
            "error running createRuntime hook #0: '" + hook.path + "' is not executable");
  hook.path = temp_.write("garbage", "garbage", 0755);
  EXPECT_EQ(error_of({hook}),
            "error running createRuntime hook #0: execute '" + hook.path + "': Exec format error");
}

TEST_F(HooksTest, StartWithUsualSignals) {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  const std::string error =
      error_of({script("a", "grep -E 'Sig(Blk|Ign)' /proc/self/status > " + (temp_ / "signals"))});
  ::sigprocmask(SIG_UNBLOCK, &all, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  EXPECT_EQ(error, "no error");
  EXPECT_EQ(read(temp_ / "signals"), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(HooksTest, RunInTheContainersNetworkNamespaceWhereAsked) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make a network namespace";
  const pid_t owner = ::fork();
  if (owner == 0) {
    if (::unshare(CLONE_NEWNET) != 0) ::_exit(1);
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(owner, &status, WUNTRACED), owner);
  ASSERT_TRUE(WIFSTOPPED(status));
  const std::string path = "/proc/" + std::to_string(owner) + "/ns/net";
  const UniqueFd network(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const std::string theirs = std::filesystem::read_symlink(path);
  context_.network_namespace = network.get();
  EXPECT_EQ(error_of({script("a", "readlink /proc/self/ns/net > " + (temp_ / "net"))}), "no error");
  ::kill(owner, SIGKILL);
  ::waitpid(owner, nullptr, 0);
  EXPECT_EQ(read(temp_ / "net"), theirs + "\n");
  EXPECT_NE(std::filesystem::read_symlink("/proc/self/ns/net").string(), theirs);
}

}  // namespace
}  // namespace agentvm::runtime
