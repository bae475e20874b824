#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "oci/base/json_reader.h"
#include "oci/state.h"
#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class Lifecycle : public Agentvm {};

TEST_F(Lifecycle, RunBootsAnotherKernelAndReturnsTheExitCode) {
  const Outcome outcome = run(Bundle(Bundle::shell("uname -r; echo oops >&2; exit 7")));
  EXPECT_EQ(outcome.status, 7) << outcome.err;
  EXPECT_NE(outcome.out, run_command({"uname", "-r"}).out);
  EXPECT_EQ(outcome.out, guest_kernel_release());
  EXPECT_EQ(outcome.err, "oops\n");
  EXPECT_THAT(agentvm({"list", "--quiet"}).out, testing::IsEmpty());
}

TEST_F(Lifecycle, CreateRunsNothingOfTheUsersAndStartReleasesIt) {
  const Bundle bundle(Bundle::shell("echo ran > /marker; sleep 1000"));
  create("web", bundle);
  EXPECT_EQ(status("web"), "created");
  EXPECT_FALSE(std::filesystem::exists(bundle.rootfs() + "/marker"));
  start("web");
  EXPECT_EQ(status("web"), "running");
  EXPECT_TRUE(eventually([&] { return read_file(bundle.rootfs() + "/marker") == "ran\n"; }));
}

TEST_F(Lifecycle, StateIsTheSpecsDocument) {
  Bundle bundle(Bundle::shell("sleep 1000"));
  bundle.spec.annotations["com.example.key"] = "value";
  create("web", bundle);
  const auto state = oci::parse_state(agentvm({"state", "web"}).out);
  ASSERT_TRUE(state.has_value()) << state.error().text();
  EXPECT_EQ(state->oci_version, bundle.spec.oci_version);
  EXPECT_EQ(state->id, "web");
  EXPECT_EQ(state->status, oci::Status::created);
  EXPECT_GT(state->pid, 1);
  EXPECT_EQ(state->bundle, bundle.path());
  EXPECT_EQ(state->rootfs, bundle.rootfs());
  EXPECT_EQ(state->annotations.at("com.example.key"), "value");
}

TEST_F(Lifecycle, VerbsInTheWrongOrderAreRefusedInRuncsWords) {
  EXPECT_THAT(agentvm({"state", "web"}).err, HasSubstr("container does not exist"));
  EXPECT_THAT(agentvm({"start", "web"}).err, HasSubstr("container does not exist"));
  EXPECT_THAT(agentvm({"kill", "web"}).err, HasSubstr("container does not exist"));
  EXPECT_THAT(agentvm({"delete", "web"}).err, HasSubstr("container does not exist"));
  EXPECT_EQ(agentvm({"delete", "--force", "web"}).status, 0);

  const Bundle bundle(Bundle::shell("sleep 1000"));
  create("web", bundle);
  EXPECT_THAT(agentvm({"create", "--bundle", bundle.path(), "web"}).err,
              HasSubstr("container with given ID already exists"));
  EXPECT_EQ(status("web"), "created");
  start("web");
  EXPECT_THAT(agentvm({"start", "web"}).err,
              HasSubstr("cannot start an already running container"));
  EXPECT_THAT(agentvm({"delete", "web"}).err,
              HasSubstr("cannot delete container web that is not stopped: running"));
  EXPECT_THAT(agentvm({"resume", "web"}).err, HasSubstr("container not paused"));
  EXPECT_EQ(agentvm({"kill", "web", "KILL"}).status, 0);
  wait_for_status("web", "stopped");
  EXPECT_THAT(agentvm({"kill", "web", "TERM"}).err, HasSubstr("container not running"));
  EXPECT_EQ(agentvm({"kill", "--all", "web", "TERM"}).status, 0);
  EXPECT_THAT(agentvm({"start", "web"}).err,
              HasSubstr("cannot start a container that has stopped"));
  EXPECT_THAT(agentvm({"exec", "web", "true"}).err,
              HasSubstr("cannot exec in a stopped container"));
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
  EXPECT_THAT(agentvm({"state", "web"}).err, HasSubstr("container does not exist"));
}

TEST_F(Lifecycle, MalformedNamesAreRefused) {
  const Bundle bundle({"/bin/true"});
  bundle.store();
  for (const std::string name : {"../web", "a/b", "..", "we b", "ümlaut"}) {
    const Outcome outcome = agentvm({"create", "--bundle", bundle.path(), name});
    EXPECT_EQ(outcome.status, 1) << name;
    EXPECT_THAT(outcome.err, HasSubstr("invalid container ID format")) << name;
  }
}

// The stand-in is an orphan for the caller's subreaper, and ends as the container does.
TEST_F(Lifecycle, TheStandInExitsWithTheContainersExitCode) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const Bundle bundle(Bundle::shell("exit 7"));
  bundle.store();
  const std::string pid_file = scratch() + "/pid";
  ASSERT_EQ(agentvm({"create", "--bundle", bundle.path(), "--pid-file", pid_file, "web"}).status,
            0);
  const pid_t pid = std::stoi(read_file(pid_file));
  EXPECT_EQ(pid, stand_in("web"));
  EXPECT_EQ(read_file(pid_file).find('\n'), std::string::npos);
  start("web");
  int wait_status = 0;
  ASSERT_EQ(::waitpid(pid, &wait_status, 0), pid);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  EXPECT_TRUE(WIFEXITED(wait_status));
  EXPECT_EQ(WEXITSTATUS(wait_status), 7);
  EXPECT_EQ(status("web"), "stopped");
}

TEST_F(Lifecycle, TheStandInDiesOfTheContainersSignal) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const Bundle bundle({"/bin/sleep", "1000"});
  create("web", bundle);
  start("web");
  const pid_t pid = stand_in("web");
  ASSERT_EQ(agentvm({"kill", "web", "9"}).status, 0);
  int wait_status = 0;
  ASSERT_EQ(::waitpid(pid, &wait_status, 0), pid);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  EXPECT_TRUE(WIFSIGNALED(wait_status));
  EXPECT_EQ(WTERMSIG(wait_status), SIGKILL);
}

TEST_F(Lifecycle, TheStandInHasTheContainersNetworkNamespaceAndCgroup) {
  const Bundle bundle({"/bin/sleep", "1000"});
  create("web", bundle);
  const std::string proc = "/proc/" + std::to_string(stand_in("web"));
  EXPECT_NE(std::filesystem::read_symlink(proc + "/ns/net"),
            std::filesystem::read_symlink("/proc/self/ns/net"));
  EXPECT_THAT(read_file(proc + "/cgroup"), HasSubstr("/web"));
  for (const pid_t qemu : processes_of("web", "qemu-system")) {
    EXPECT_EQ(read_file("/proc/" + std::to_string(qemu) + "/cgroup"), read_file(proc + "/cgroup"));
  }
}

TEST_F(Lifecycle, KillSendsNamesAndNumbersAndTheContainerMayHandleThem) {
  const Bundle bundle(
      Bundle::shell("trap 'echo term >> /got; exit 3' TERM\n"
                    "trap 'echo usr1 >> /got' USR1\n"
                    "touch /ready; while :; do sleep 0.1; done"));
  create("web", bundle);
  start("web");
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(bundle.rootfs() + "/ready"); }));
  EXPECT_EQ(agentvm({"kill", "web", "SIGUSR1"}).status, 0);
  ASSERT_TRUE(eventually([&] { return read_file(bundle.rootfs() + "/got") == "usr1\n"; }));
  EXPECT_EQ(agentvm({"kill", "web", "usr1"}).status, 0);
  EXPECT_THAT(agentvm({"kill", "web", "NOSUCH"}).err, HasSubstr("unknown signal \\\"NOSUCH\\\""));
  EXPECT_EQ(agentvm({"kill", "web"}).status, 0);
  wait_for_status("web", "stopped");
  EXPECT_EQ(read_file(bundle.rootfs() + "/got"), "usr1\nusr1\nterm\n");
  EXPECT_THAT(agentvm({"state", "--verbose", "web"}).out, HasSubstr("\"code\": 3"));
}

TEST_F(Lifecycle, RunForwardsSignalsAndReportsThem) {
  const Bundle bundle(
      Bundle::shell("trap 'exit 42' TERM; echo ready; while :; do sleep 0.1; done"));
  bundle.store();
  Background program(command({"run", "--bundle", bundle.path(), "web"}));
  ASSERT_TRUE(program.wait_for_output("ready"));
  program.send(SIGTERM);
  EXPECT_EQ(program.wait().status, 42);
}

TEST_F(Lifecycle, KillAllReachesEveryProcess) {
  const Bundle bundle(
      Bundle::shell("(trap 'echo child >> /got' USR1; while :; do sleep 0.1; done) &"
                    "trap 'echo init >> /got' USR1; touch /ready\n"
                    "while :; do sleep 0.1; done"));
  create("web", bundle);
  start("web");
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(bundle.rootfs() + "/ready"); }));
  EXPECT_EQ(agentvm({"kill", "--all", "web", "USR1"}).status, 0);
  EXPECT_TRUE(eventually([&] {
    const std::string got = read_file(bundle.rootfs() + "/got");
    return got.find("child") != std::string::npos && got.find("init") != std::string::npos;
  }));
}

TEST_F(Lifecycle, PauseFreezesAndResumeGoesOn) {
  const Bundle bundle(Bundle::shell("while :; do date +%s%N > /beat; sleep 0.02; done"));
  create("web", bundle);
  start("web");
  const std::string beat = bundle.rootfs() + "/beat";
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(beat); }));
  ASSERT_EQ(agentvm({"pause", "web"}).status, 0);
  EXPECT_EQ(status("web"), "paused");
  EXPECT_THAT(agentvm({"pause", "web"}).err, HasSubstr("container not running"));
  EXPECT_THAT(agentvm({"exec", "web", "true"}).err, HasSubstr("paused"));
  const std::string frozen = read_file(beat);
  EXPECT_FALSE(eventually([&] { return read_file(beat) != frozen; }, std::chrono::seconds(1)));
  ASSERT_EQ(agentvm({"resume", "web"}).status, 0);
  EXPECT_EQ(status("web"), "running");
  EXPECT_TRUE(eventually([&] { return read_file(beat) != frozen; }));
}

TEST_F(Lifecycle, ListAndPsTellWhatRuns) {
  EXPECT_EQ(agentvm({"list", "--format", "json"}).out, "[]\n");
  const Bundle bundle({"/bin/sleep", "1000"});
  create("web", bundle);
  start("web");
  EXPECT_THAT(agentvm({"list"}).out,
              AllOf(HasSubstr("ID"), HasSubstr("web"), HasSubstr("running")));
  const auto list = JsonDocument::parse(agentvm({"list", "--format", "json"}).out);
  ASSERT_TRUE(list.has_value());
  ASSERT_EQ(list->root().size(), 1U);
  EXPECT_EQ(list->root().item(0).find("id")->as_string(), "web");
  EXPECT_THAT(agentvm({"ps", "web"}).out, AllOf(HasSubstr("CMD"), HasSubstr("/bin/sleep 1000")));
  EXPECT_EQ(agentvm({"ps", "--format", "json", "web"}).out,
            "[" + std::to_string(stand_in("web")) + "]\n");
}

TEST_F(Lifecycle, ADetachedRunGoesOnAlone) {
  const Bundle bundle({"/bin/sleep", "1000"});
  bundle.store();
  ASSERT_EQ(agentvm({"run", "--detach", "--bundle", bundle.path(), "web"}).status, 0);
  EXPECT_EQ(status("web"), "running");
  EXPECT_EQ(agentvm({"delete", "--force", "web"}).status, 0);
}

TEST_F(Lifecycle, TwoContainersLiveSideBySide) {
  const Bundle first({"/bin/sleep", "1000"});
  const Bundle second({"/bin/sleep", "1000"});
  create("one", first);
  create("two", second);
  start("one");
  start("two");
  EXPECT_EQ(agentvm({"delete", "--force", "one"}).status, 0);
  EXPECT_EQ(status("two"), "running");
}

// What `docker top` shows, which is ps(1) of the host.
TEST_F(Lifecycle, StandInsShowTheProgramOnTheHost) {
  const Bundle bundle({"/bin/sleep", "1000"});
  create("web", bundle);
  start("web");
  const auto shown = [](pid_t pid) {
    return run_command({"ps", "-o", "args=", "-p", std::to_string(pid)}).out;
  };
  EXPECT_EQ(shown(stand_in("web")), "/bin/sleep 1000\n");
  const std::string pid_file = scratch() + "/pid";
  EXPECT_EQ(agentvm({"exec", "--detach", "--pid-file", pid_file, "web", "/bin/sleep", "77"}).status,
            0);
  EXPECT_EQ(shown(std::stoi(read_file(pid_file))), "/bin/sleep 77\n");
}

}  // namespace
}  // namespace agentvm::e2e
