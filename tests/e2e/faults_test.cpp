#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <thread>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

enum class Victim { stand_in, qemu, virtiofsd, vsock, agent };

std::string name_of(Victim victim) {
  switch (victim) {
    case Victim::stand_in:
      return "StandIn";
    case Victim::qemu:
      return "Qemu";
    case Victim::virtiofsd:
      return "Virtiofsd";
    case Victim::vsock:
      return "VsockBackend";
    case Victim::agent:
      return "Agent";
  }
  return "";
}

// kill -9 of every part, at every stage. Afterwards state says stopped, delete --force removes
// everything; the fixture takes the census.
class Faults : public Agentvm, public testing::WithParamInterface<Victim> {
 protected:
  void kill_victim(const std::string& id) const {
    switch (GetParam()) {
      case Victim::stand_in:
        ASSERT_EQ(::kill(stand_in(id), SIGKILL), 0);
        return;
      case Victim::qemu:
        return kill_processes(id, "qemu-system");
      case Victim::virtiofsd:
        return kill_processes(id, "virtiofsd");
      case Victim::vsock:
        return kill_processes(id, "agentvm-vsock");
      case Victim::agent:
        // Only the kernel can end PID 1 of the guest: a panic, as a crash of the agent would be.
        (void)agentvm({"exec", id, "sh", "-c", "echo c > /proc/sysrq-trigger"});
        return;
    }
  }
  void expect_gone(const std::string& id) const {
    wait_for_status(id, "stopped");
    EXPECT_EQ(agentvm({"delete", "--force", id}).status, 0);
    EXPECT_THAT(agentvm({"state", id}).err, HasSubstr("container does not exist"));
    EXPECT_THAT(agentvm({"list", "--quiet"}).out, IsEmpty());
  }

 private:
  void kill_processes(const std::string& id, const std::string& name) const {
    const auto pids = processes_of(id, name);
    ASSERT_FALSE(pids.empty()) << "no " << name << " below the stand-in";
    for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  }
};

// sysrq needs a writable /proc/sys and /proc/sysrq-trigger.
struct Sleeper : Bundle {
  Sleeper() : Bundle({"/bin/sleep", "1000"}) {
    spec.linux_->readonly_paths.clear();
    spec.linux_->masked_paths.clear();
  }
};

TEST_P(Faults, AfterCreate) {
  const Sleeper bundle;
  create("web", bundle);
  kill_victim("web");
  expect_gone("web");
}

TEST_P(Faults, WhileRunning) {
  const Sleeper bundle;
  create("web", bundle);
  start("web");
  kill_victim("web");
  expect_gone("web");
}

TEST_P(Faults, WhileAnExecIsAttached) {
  const Sleeper bundle;
  create("web", bundle);
  start("web");
  Background program(command({"exec", "web", "sh", "-c", "echo ready; exec sleep 1000"}));
  ASSERT_TRUE(program.wait_for_output("ready"));
  kill_victim("web");
  const Outcome outcome = program.wait(std::chrono::seconds(30));
  EXPECT_FALSE(outcome.timed_out) << "the exec did not notice";
  EXPECT_NE(outcome.status, 0);
  expect_gone("web");
}

TEST_P(Faults, WhileADetachedExecRuns) {
  const Sleeper bundle;
  create("web", bundle);
  start("web");
  ASSERT_EQ(agentvm({"exec", "--detach", "--pid-file", scratch() + "/pid", "web", "sleep", "1000"})
                .status,
            0);
  kill_victim("web");
  expect_gone("web");
  const pid_t pid = std::stoi(read_file(scratch() + "/pid"));
  EXPECT_TRUE(eventually([&] {
    const std::string stat = read_file(fmt::format("/proc/{}/stat", pid));
    return stat.empty() || stat.find(") Z") != std::string::npos;
  }));
}

TEST_P(Faults, InTheForegroundRunEndsAndCleansUp) {
  const Sleeper bundle;
  bundle.store();
  Background program(command({"run", "--bundle", bundle.path(), "web"}));
  wait_for_status("web", "running");
  kill_victim("web");
  const Outcome outcome = program.wait(std::chrono::seconds(30));
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.status, 137);
  EXPECT_THAT(agentvm({"list", "--quiet"}).out, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kill9, Faults,
                         testing::Values(Victim::stand_in, Victim::qemu, Victim::virtiofsd,
                                         Victim::vsock, Victim::agent),
                         [](const auto& victim) { return name_of(victim.param); });

// The parts die while create is under way: at several moments between its start and its end.
class CreateFaults : public Agentvm, public testing::WithParamInterface<Victim> {};

TEST_P(CreateFaults, DuringCreate) {
  const Bundle bundle({"/bin/sleep", "1000"});
  bundle.store();
  const std::string name = GetParam() == Victim::qemu        ? "qemu-system"
                           : GetParam() == Victim::virtiofsd ? "virtiofsd"
                                                             : "agentvm-vsock";
  Background creating(command({"create", "--bundle", bundle.path(), "web"}));
  if (GetParam() == Victim::stand_in) {
    ASSERT_TRUE(eventually([&] { return stand_in("web") != kNobody; }));
    ::kill(stand_in("web"), SIGKILL);
  } else {
    ASSERT_TRUE(eventually([&] { return !processes_of("web", name).empty(); }))
        << creating.wait(std::chrono::seconds(5)).err << agentvm({"list"}).out;
    for (const pid_t pid : processes_of("web", name)) ::kill(pid, SIGKILL);
  }
  const Outcome outcome = creating.wait(std::chrono::seconds(60));
  EXPECT_FALSE(outcome.timed_out);
  if (outcome.status == 0) {
    // The container was there before the kill was felt, as with a VM that waited.
    wait_for_status("web", "stopped");
    EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
  } else {
    EXPECT_EQ(outcome.status, 1);
  }
  EXPECT_THAT(agentvm({"list", "--quiet"}).out, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kill9, CreateFaults,
                         testing::Values(Victim::stand_in, Victim::qemu, Victim::virtiofsd,
                                         Victim::vsock),
                         [](const auto& victim) { return name_of(victim.param); });

class CreatorFaults : public Agentvm, public testing::WithParamInterface<int> {};

TEST_P(CreatorFaults, ACreateThatIsKilledLeavesOnlyWhatDeleteForceRemoves) {
  const Bundle bundle({"/bin/sleep", "1000"});
  bundle.store();
  {
    CommandOptions to_files;  // a container that was created by then holds its streams
    to_files.file_output = true;
    Background creating(command({"create", "--bundle", bundle.path(), "web"}), to_files);
    std::this_thread::sleep_for(std::chrono::milliseconds(GetParam()));
    creating.send(SIGKILL);
    (void)creating.wait();
  }
  EXPECT_EQ(agentvm({"delete", "--force", "web"}).status, 0);
  EXPECT_THAT(agentvm({"list", "--quiet"}).out, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(AfterMilliseconds, CreatorFaults,
                         testing::Values(2, 10, 25, 50, 100, 400, 900, 1500));

}  // namespace
}  // namespace agentvm::e2e
