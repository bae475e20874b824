// containerd-shim-agentvm-v2 under a real containerd: what `ctr` does with it.
#include "tests/e2e/harness/shim.h"

#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "rpc/containerd/metrics_v1.pb.h"
#include "rpc/containerd/metrics_v2.pb.h"
#include "rpc/containerd/task.pb.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

namespace task = containerd::task::v2;

TEST_F(Shim, RunReturnsTheExitCodeAndTheOutput) {
  const Outcome outcome =
      ctr_run({"--rm"}, "web", Bundle::shell("uname -r; echo oops >&2; exit 7"));
  EXPECT_EQ(outcome.status, 7) << outcome.err;
  EXPECT_EQ(outcome.out, guest_kernel_release());
  EXPECT_EQ(outcome.err, "oops\n");
  EXPECT_THAT(ctr({"task", "ls", "-q"}).out, IsEmpty());
}

TEST_F(Shim, RunsOnASnapshotThatIsABindMount) {
  snapshotter = "native";
  ASSERT_EQ(ctr({"image", "import", "--snapshotter", "native", scratch() + "/image.tar"}).status,
            0);
  const Outcome outcome = ctr_run({"--rm"}, "web", Bundle::shell("echo kept > /f; cat /f"));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "kept\n");
}

TEST_F(Shim, ALotOfOutputArrivesWhole) {
  const Outcome outcome = ctr_run(
      {"--rm"}, "web", Bundle::shell("dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\\0' x"));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out.size(), std::size_t{8} << 20);
}

TEST_F(Shim, StandardInputEndsWithTheClients) {
  CommandOptions options;
  options.null_input = false;
  Background cat(ctr_command(run_arguments({"--rm"}, "web", {"/bin/cat"})), options);
  cat.write("hello\n");
  // ctr 1.6 forgets an end of input that it meets before the task is created.
  ASSERT_TRUE(cat.wait_for_output("hello\n"));
  cat.close_input();
  EXPECT_EQ(cat.wait(std::chrono::seconds(20)).status, 0);
}

TEST_F(Shim, AnErrorOfTheRuntimeReachesTheUser) {
  const Outcome missing = ctr_run({"--rm"}, "web", {"/no/such/program"});
  EXPECT_NE(missing.status, 0);
  EXPECT_THAT(missing.err, HasSubstr("exec: \"/no/such/program\""));
  const Outcome host = ctr_run({"--rm", "--net-host"}, "web", {"/bin/true"});
  EXPECT_NE(host.status, 0);
  EXPECT_THAT(host.err, HasSubstr("invalid argument"));
  EXPECT_THAT(ctr({"task", "ls", "-q"}).out, IsEmpty());
}

TEST_F(Shim, ExecRunsBesideTheInit) {
  run_detached("web", kUntilTerm);
  const Outcome outcome = exec("web", Bundle::shell("echo out; echo err >&2; exit 3"));
  EXPECT_EQ(outcome.status, 3);
  EXPECT_EQ(outcome.out, "out\n");
  EXPECT_EQ(outcome.err, "err\n");
  CommandOptions options;
  options.input = "typed";
  EXPECT_EQ(exec("web", {"/bin/cat"}, options).out, "typed");
  const Outcome missing = exec("web", {"/no/such/program"});
  EXPECT_NE(missing.status, 0);
  EXPECT_THAT(missing.err, HasSubstr("/no/such/program"));
  EXPECT_EQ(task_status("web"), "RUNNING");
}

TEST_F(Shim, ATerminalHasTheClientsSize) {
  std::string command = "stty rows 33 cols 77;";
  for (const std::string& word : ctr_command(run_arguments(
           {"--rm", "--tty"}, "web",
           Bundle::shell("until [ \"$(stty size)\" = \"33 77\" ]; do sleep 0.1; done; "
                         "tty; read x; echo got $x; exit 5")))) {
    command += " '" + word + "'";
  }
  CommandOptions options;
  options.null_input = false;
  Background script({"script", "-qec", command, "/dev/null"}, options);
  ASSERT_TRUE(script.wait_for_output("/dev/pts/"));
  script.write("line\n");
  EXPECT_TRUE(script.wait_for_output("got line"));
  EXPECT_EQ(script.wait().status, 5);
}

TEST_F(Shim, KillEndsTheTaskWithWhatTheProgramMadeOfIt) {
  run_detached("web", kUntilTerm);
  EXPECT_EQ(exec("web", {"/bin/true"}).status, 0);  // the trap is set
  EXPECT_EQ(ctr({"task", "kill", "--signal", "TERM", "web"}).status, 0);
  wait_for_task("web", "STOPPED");
  EXPECT_THAT(ctr({"task", "kill", "web"}).err, HasSubstr("process already finished: not found"));
  EXPECT_EQ(delete_task("web"), 9);

  ASSERT_EQ(ctr({"container", "rm", "web"}).status, 0);
  run_detached("web", "sleep 1000");
  EXPECT_EQ(ctr({"task", "kill", "--signal", "KILL", "web"}).status, 0);
  wait_for_task("web", "STOPPED");
  EXPECT_EQ(delete_task("web"), 137);
}

TEST_F(Shim, KillEndsATaskWhoseOutputNobodyReads) {
  run_detached("web", "yes");
  ASSERT_EQ(exec("web", {"/bin/true"}).status, 0);
  EXPECT_EQ(ctr({"task", "kill", "--signal", "KILL", "web"}).status, 0);
  wait_for_task("web", "STOPPED");
  EXPECT_EQ(delete_task("web"), 137);
}

TEST_F(Shim, PauseStopsTheClockOfTheTask) {
  run_detached("web", "while :; do echo x >> /count; sleep 0.05; done");
  EXPECT_EQ(ctr({"task", "pause", "web"}).status, 0);
  EXPECT_EQ(task_status("web"), "PAUSED");
  EXPECT_THAT(exec("web", {"/bin/true"}).err, HasSubstr("failed precondition"));
  EXPECT_THAT(ctr({"task", "pause", "web"}).err, HasSubstr("failed precondition"));
  EXPECT_EQ(ctr({"task", "resume", "web"}).status, 0);
  EXPECT_EQ(task_status("web"), "RUNNING");
  EXPECT_EQ(exec("web", {"/bin/true"}).status, 0);
  EXPECT_THAT(ctr({"task", "resume", "web"}).err, HasSubstr("failed precondition"));
  EXPECT_EQ(ctr({"task", "pause", "web"}).status, 0);
  EXPECT_EQ(ctr({"task", "kill", "--signal", "KILL", "web"}).status, 0);
  wait_for_task("web", "STOPPED");
}

TEST_F(Shim, MetricsAreTheGuestsInTheHostsForm) {
  run_detached("web", kUntilTerm, {"--memory-limit", "67108864"});
  const Outcome printed = ctr({"task", "metrics", "web"});
  EXPECT_EQ(printed.status, 0) << printed.err;
  EXPECT_THAT(printed.out, HasSubstr("67108864"));
  EXPECT_THAT(printed.out, HasSubstr("pids.current"));
}

TEST_F(Shim, UpdateChangesTheGuestsLimit) {
  run_detached("web", kUntilTerm, {"--memory-limit", "67108864"});
  auto message = about<task::UpdateTaskRequest>("web");
  message.mutable_resources()->set_type_url(
      "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources");
  message.mutable_resources()->set_value(R"({"memory":{"limit":33554432}})");
  const auto updated = request("web", "Update", message);
  ASSERT_TRUE(updated) << updated.error().text();
  EXPECT_THAT(ctr({"task", "metrics", "web"}).out, HasSubstr("33554432"));
  message.mutable_resources()->set_value(R"({"memory":{"limit":1099511627776}})");
  expect_refused(request("web", "Update", message), ErrorKind::invalid_argument, "VM can grow to");
  message.mutable_resources()->set_value("{");
  expect_refused(request("web", "Update", message), ErrorKind::invalid_argument, "resources");
}

TEST_F(Shim, EventsComeInOrderWithTheOomAmongThem) {
  Background events(ctr_command({"events"}));
  run_detached("web", kUntilTerm);
  EXPECT_EQ(exec("web", {"/bin/true"}).status, 0);
  EXPECT_EQ(ctr({"task", "pause", "web"}).status, 0);
  EXPECT_EQ(ctr({"task", "resume", "web"}).status, 0);
  EXPECT_EQ(ctr({"task", "kill", "--signal", "KILL", "web"}).status, 0);
  wait_for_task("web", "STOPPED");
  EXPECT_EQ(delete_task("web"), 137);
  EXPECT_TRUE(events.wait_for_output("/tasks/delete"));
  const Outcome hungry = ctr_run({"--rm", "--memory-limit", "20971520"}, "hungry",
                                 Bundle::shell("tail /dev/zero; exit 3"));
  EXPECT_EQ(hungry.status, 3) << hungry.err;
  EXPECT_TRUE(events.wait_for_output("/tasks/oom"));
  events.send(SIGTERM);
  const std::string said = events.wait().out;
  std::size_t at = 0;
  for (const char* topic :
       {"/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started", "/tasks/exit",
        "/tasks/paused", "/tasks/resumed", "/tasks/exit", "/tasks/delete", "/tasks/create",
        "/tasks/start", "/tasks/oom"}) {
    at = said.find(topic, at);
    ASSERT_NE(at, std::string::npos) << topic << " is missing or out of order:\n" << said;
    ++at;
  }
}

TEST_F(Shim, OutputGoesToALogFile) {
  const std::string log = scratch() + "/logs/web.log";
  run_detached("web", "echo out; echo err >&2; exit 4", {"--log-uri", "file://" + log});
  wait_for_task("web", "STOPPED");
  EXPECT_THAT(read_file(log), testing::AllOf(HasSubstr("out\n"), HasSubstr("err\n")));
  EXPECT_EQ(delete_task("web"), 4);
}

TEST_F(Shim, OutputGoesToALoggingProgram) {
  const std::string log = scratch() + "/web.log";
  write_file(
      scratch() + "/logger",
      "#!/bin/sh\nexec 5>&-\n{ echo \"$CONTAINER_NAMESPACE $CONTAINER_ID\"; cat <&3; cat <&4; "
      "} > " +
          log + "\n",
      0755);
  run_detached("web", "echo out; echo err >&2", {"--log-uri", "binary://" + scratch() + "/logger"});
  wait_for_task("web", "STOPPED");
  EXPECT_TRUE(eventually([&] { return read_file(log) == "default web\nout\nerr\n"; }))
      << read_file(log);
}

TEST_F(Shim, OnlyAStoppedTaskIsDeleted) {
  run_detached("web", "sleep 1000");
  EXPECT_THAT(ctr({"task", "delete", "web"}).err, HasSubstr("failed precondition"));
  EXPECT_EQ(task_status("web"), "RUNNING");
  expect_refused(request("web", "Delete", about<task::DeleteRequest>("web")),
                 ErrorKind::failed_precondition, "cannot delete a running container");
  (void)ctr({"task", "delete", "--force", "web"});
  EXPECT_EQ(task_status("web"), "");
}

TEST_F(Shim, RequestsOutOfOrderHaveContainerdsCodes) {
  run_detached("web", "sleep 1000");
  const auto refused = ErrorKind::failed_precondition;
  expect_refused(request("web", "State", about<task::StateRequest>("other")), ErrorKind::not_found,
                 "container 'other' does not exist");
  expect_refused(request("web", "Start", about<task::StartRequest>("web")), refused,
                 "cannot start a running container");
  expect_refused(request("web", "Resume", about<task::ResumeRequest>("web")), refused,
                 "cannot resume a running container");
  auto create = about<task::CreateTaskRequest>("web");
  create.set_bundle(bundle_of("web"));
  expect_refused(request("web", "Create", create), ErrorKind::already_exists, "already exists");
  expect_refused(ask("web", "Checkpoint", ""), ErrorKind::internal, "no method 'Checkpoint'");
  expect_refused(ask("web", "State", "\xff"), ErrorKind::invalid_argument, "not a State request");
  EXPECT_TRUE(ask("web", "State", rpc::serialize(about<task::StateRequest>("web")),
                  "containerd.task.v3.Task"));

  expect_refused(request("web", "Start", about<task::StartRequest>("web", "job")),
                 ErrorKind::not_found, "process 'job' of container 'web' does not exist");
  ASSERT_TRUE(add_exec("web", "job", "exit 5"));
  expect_refused(add_exec("web", "job", "exit 5"), ErrorKind::already_exists, "already exists");
  auto kill = about<task::KillRequest>("web", "job");
  kill.set_signal(SIGKILL);
  expect_refused(request("web", "Kill", kill), refused, "process is not running");
  ASSERT_TRUE(request("web", "Start", about<task::StartRequest>("web", "job")));
  EXPECT_EQ(wait_exec("web", "job"), 5U);
  expect_refused(request("web", "Kill", kill), ErrorKind::not_found, "process already finished");
  expect_refused(request("web", "Start", about<task::StartRequest>("web", "job")), refused,
                 "cannot start a stopped process");
  EXPECT_TRUE(request("web", "Delete", about<task::DeleteRequest>("web", "job")));
  expect_refused(request("web", "Delete", about<task::DeleteRequest>("web", "job")),
                 ErrorKind::not_found, "does not exist");

  kill = about<task::KillRequest>("web");
  expect_refused(request("web", "Kill", kill), ErrorKind::invalid_argument, "unknown signal 0");
  kill.set_signal(SIGKILL);
  ASSERT_TRUE(request("web", "Kill", kill));
  wait_for_task("web", "STOPPED");
  expect_refused(request("web", "Pause", about<task::PauseRequest>("web")), refused,
                 "cannot pause a stopped container");
  expect_refused(request("web", "Stats", about<task::StatsRequest>("web")), refused,
                 "container not running");
  expect_refused(add_exec("web", "late", "true"), refused, "cannot exec in a stopped container");
  // A shim with a container in it is not ended.
  EXPECT_TRUE(request("web", "Shutdown", about<task::ShutdownRequest>("web")));
  EXPECT_EQ(task_status("web"), "STOPPED");
}

TEST_F(Shim, AnExecIsKilledByItsName) {
  run_detached("web", "sleep 1000");
  ASSERT_TRUE(add_exec("web", "job", "sleep 1000"));
  ASSERT_TRUE(request("web", "Start", about<task::StartRequest>("web", "job")));
  const auto pids = request("web", "Pids", about<task::PidsRequest>("web"));
  task::PidsResponse listed;
  ASSERT_TRUE(pids && rpc::deserialize(*pids, listed));
  EXPECT_EQ(listed.processes_size(), 2);
  EXPECT_EQ(listed.processes(0).pid(), static_cast<std::uint32_t>(task_pid("web")));
  EXPECT_FALSE(is_gone(static_cast<pid_t>(listed.processes(1).pid())));
  auto kill = about<task::KillRequest>("web", "job");
  kill.set_signal(SIGTERM);
  ASSERT_TRUE(request("web", "Kill", kill));
  EXPECT_EQ(wait_exec("web", "job"), 143U);
  EXPECT_EQ(task_status("web"), "RUNNING");
}

TEST_F(Shim, ATaskThatIsCreatedAndNeverStartedGoesToo) {
  ASSERT_EQ(ctr_run({"--detach"}, "web", Bundle::shell("sleep 1000")).status, 0);
  // Beside it, in the same shim, by hand: created, then deleted.
  Bundle own(Bundle::shell("echo started > /f"));
  own.store();
  auto create = about<task::CreateTaskRequest>("second");
  create.set_bundle(own.path());
  auto& options = *create.mutable_options();
  options.set_type_url("runtimeoptions.v1.Options");
  containerd::types::RuntimeOptions choice;
  choice.set_config_path(scratch() + "/config.toml");
  options.set_value(rpc::serialize(choice));
  const auto created = request("web", "Create", create);
  ASSERT_TRUE(created) << created.error().text();
  task::StateResponse state;
  const auto answer = request("web", "State", about<task::StateRequest>("second"));
  ASSERT_TRUE(answer && rpc::deserialize(*answer, state));
  EXPECT_EQ(state.status(), containerd::types::CREATED);
  const auto deleted = request("web", "Delete", about<task::DeleteRequest>("second"));
  ASSERT_TRUE(deleted) << deleted.error().text();
  task::DeleteResponse gone;
  ASSERT_TRUE(rpc::deserialize(*deleted, gone));
  EXPECT_EQ(gone.exit_status(), 137U);
  EXPECT_TRUE(is_gone(static_cast<pid_t>(state.pid())));
  EXPECT_FALSE(std::filesystem::exists(own.rootfs() + "/f"));
  EXPECT_EQ(task_status("web"), "RUNNING");
}

TEST_F(Shim, KeepsNothingOfTheExecsThatItHad) {
  run_detached("web", "sleep 1000");
  const std::string fds = "/proc/" + std::to_string(shim_pid("web")) + "/fd";
  const auto count = [&fds] { return std::distance(std::filesystem::directory_iterator(fds), {}); };
  ASSERT_EQ(exec("web", {"/bin/true"}).status, 0);
  EXPECT_TRUE(eventually([&] { return count() > 0; }));
  const auto before = count();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(exec("web", {"/bin/true"}).status, 0);
  EXPECT_TRUE(eventually([&] { return count() <= before; })) << count() << " after " << before;
}

TEST_F(Shim, IsSmall) {
  run_detached("web", "sleep 1000");
  ASSERT_EQ(exec("web", {"/bin/true"}).status, 0);
  std::istringstream lines(read_file("/proc/" + std::to_string(shim_pid("web")) + "/smaps_rollup"));
  long pss_kib = 0;
  for (std::string word; lines >> word;) {
    if (word == "Pss:") lines >> pss_kib;
  }
  EXPECT_GT(pss_kib, 0);
  EXPECT_LE(pss_kib, 12 * 1024);
  RecordProperty("pss_kib", std::to_string(pss_kib));
}

TEST_F(Shim, TellsWhatItIs) {
  EXPECT_THAT(run_command({shim_binary(), "-v"}).out, HasSubstr("Version: "));
  containerd::types::RuntimeInfo info;
  ASSERT_TRUE(rpc::deserialize(run_command({shim_binary(), "-info"}).out, info));
  EXPECT_EQ(info.name(), "io.containerd.agentvm.v2");
  EXPECT_THAT(info.features().value(), HasSubstr("\"mountOptions\""));
  EXPECT_THAT(run_command({shim_binary(), "start"}).err, HasSubstr("namespace cannot be empty"));
}

}  // namespace
}  // namespace agentvm::e2e
