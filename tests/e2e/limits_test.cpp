#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "oci/base/json_reader.h"
#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Limits : public Agentvm {};

TEST_F(Limits, TheGuestsCgroupHasWhatTheSpecAsksFor) {
  Bundle bundle(
      Bundle::shell("cd /sys/fs/cgroup; for f in memory.max memory.low cpu.max cpu.weight "
                    "pids.max memory.high; do echo $f $(cat $f); done; nproc"));
  auto& resources = *bundle.spec.linux_->resources;
  resources.memory.emplace();
  resources.memory->limit = 192 << 20;
  resources.memory->reservation = 64 << 20;
  resources.cpu.emplace();
  resources.cpu->quota_us = 50000;
  resources.cpu->period_us = 100000;
  resources.cpu->shares = 512;
  resources.pids_limit = 33;
  resources.unified = {{"memory.high", "167772160"}};
  const Outcome outcome = run(bundle);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("memory.max 201326592\n"));
  EXPECT_THAT(outcome.out, HasSubstr("memory.low 67108864\n"));
  EXPECT_THAT(outcome.out, HasSubstr("cpu.max 50000 100000\n"));
  // 1024 shares are a weight of 100, as runc converts since 1.3.2.
  EXPECT_THAT(outcome.out, HasSubstr("cpu.weight 59\n"));
  EXPECT_THAT(outcome.out, HasSubstr("pids.max 33\n"));
  EXPECT_THAT(outcome.out, HasSubstr("memory.high 167772160\n"));
}

TEST_F(Limits, MemoryBeyondTheLimitIsKilledInTheGuest) {
  Bundle bundle(Bundle::shell("head -c 100m /dev/zero | tail > /dev/null; echo status $?"));
  bundle.spec.linux_->resources->memory.emplace();
  bundle.spec.linux_->resources->memory->limit = 32 << 20;
  bundle.spec.linux_->resources->memory->swap = 32 << 20;
  const Outcome outcome = run(bundle);
  EXPECT_THAT(outcome.out, HasSubstr("status 137"));
}

TEST_F(Limits, ProcessesBeyondTheLimitCannotBeMade) {
  Bundle bundle(Bundle::shell("i=0; while [ $i -lt 50 ]; do sleep 5 & i=$((i+1)); done; echo all"));
  bundle.spec.linux_->resources->pids_limit = 10;
  const Outcome outcome = run(bundle);
  EXPECT_THAT(outcome.out + outcome.err,
              AllOf(HasSubstr("Resource temporarily unavailable"), Not(HasSubstr("all\n"))));
}

TEST_F(Limits, TheHostEndsTheVmAsReadilyAsTheSpecSays) {
  Bundle bundle({"/bin/sleep", "1000"});
  bundle.spec.process->oom_score_adj = 432;
  create("web", bundle);
  std::vector<pid_t> all{stand_in("web")};
  for (const char* name : {"qemu-system", "virtiofsd", "agentvm-vsock"}) {
    const auto pids = processes_of("web", name);
    EXPECT_FALSE(pids.empty()) << name;
    all.insert(all.end(), pids.begin(), pids.end());
  }
  for (const pid_t pid : all) EXPECT_EQ(oom_score_of(pid), "432\n");
}

TEST_F(Limits, TheVmIsSizedFromTheLimits) {
  Bundle bundle({"/bin/sleep", "1000"});
  bundle.spec.linux_->resources->memory.emplace();
  bundle.spec.linux_->resources->memory->limit = 200 << 20;
  bundle.spec.linux_->resources->cpu.emplace();
  bundle.spec.linux_->resources->cpu->quota_us = 150000;
  bundle.spec.linux_->resources->cpu->period_us = 100000;
  create("web", bundle);
  const auto state = JsonDocument::parse(agentvm({"state", "--verbose", "web"}).out);
  ASSERT_TRUE(state.has_value());
  const auto vm = state->root().find("vm");
  ASSERT_TRUE(vm.has_value());
  EXPECT_EQ(vm->find("vcpus")->as_unsigned(), 2U);
  EXPECT_GE(vm->find("memoryMiB")->as_unsigned().value(), 200U);
  EXPECT_EQ(agentvm({"exec", "web", "nproc"}).out, "2\n");
}

TEST_F(Limits, UpdateChangesARunningContainer) {
  Bundle bundle({"/bin/sleep", "1000"});
  bundle.spec.linux_->resources->pids_limit = 40;
  create("web", bundle);
  start("web");
  const auto guest = [&](const std::string& file) {
    return agentvm({"exec", "web", "cat", "/sys/fs/cgroup/" + file}).out;
  };
  EXPECT_EQ(guest("pids.max"), "40\n");
  ASSERT_EQ(agentvm({"update", "--pids-limit", "50", "--memory", "100m", "--cpu-quota", "20000",
                     "--cpu-period", "50000", "web"})
                .status,
            0);
  EXPECT_EQ(guest("pids.max"), "50\n");
  EXPECT_EQ(guest("memory.max"), "104857600\n");
  EXPECT_EQ(guest("cpu.max"), "20000 50000\n");
  CommandOptions options;
  options.input = R"({"pids":{"limit":60}})";
  const Outcome updated = agentvm({"update", "--resources", "-", "web"}, options);
  ASSERT_EQ(updated.status, 0) << updated.err;
  EXPECT_EQ(guest("pids.max"), "60\n");
  EXPECT_EQ(guest("memory.max"), "104857600\n");
  EXPECT_THAT(agentvm({"update", "--memory", "100t", "web"}).err, HasSubstr("VM can grow to"));
  EXPECT_THAT(agentvm({"update", "--memory", "lots", "web"}).err,
              HasSubstr("invalid value for memory: lots"));
}

TEST_F(Limits, EventsTellTheGuestsFigures) {
  const Bundle bundle(Bundle::shell("while :; do :; done"));
  create("web", bundle);
  start("web");
  const auto stats = JsonDocument::parse(agentvm({"events", "--stats", "web"}).out);
  ASSERT_TRUE(stats.has_value());
  EXPECT_EQ(stats->root().find("type")->as_string(), "stats");
  const auto data = stats->root().find("data");
  ASSERT_TRUE(data.has_value());
  EXPECT_GT(data->find("cpu")->find("usage")->find("total")->as_unsigned().value(), 0U);
  EXPECT_GT(data->find("memory")->find("usage")->find("usage")->as_unsigned().value(), 0U);
  EXPECT_GE(data->find("pids")->find("current")->as_unsigned().value(), 1U);
}

TEST_F(Limits, TheHostsCgroupHoldsTheWholeVmAndGoesWithIt) {
  Bundle bundle({"/bin/sleep", "1000"});
  bundle.spec.linux_->cgroups_path = "/agentvm-e2e/limits";
  create("web", bundle);
  const std::string stand_in_cgroup =
      read_file("/proc/" + std::to_string(stand_in("web")) + "/cgroup");
  EXPECT_THAT(stand_in_cgroup, HasSubstr("/agentvm-e2e/limits"));
  ASSERT_EQ(agentvm({"delete", "--force", "web"}).status, 0);
  for (const auto& entry : std::filesystem::directory_iterator("/sys/fs/cgroup")) {
    EXPECT_FALSE(std::filesystem::exists(entry.path() / "agentvm-e2e")) << entry.path();
  }
}

// The quota of CPU time is in force on the host once the container is created, not before.
TEST_F(Limits, TheQuotaOfCpuTimeHoldsForTheWholeVm) {
  Bundle bundle({"/bin/sleep", "1000"});
  bundle.spec.linux_->cgroups_path = "/agentvm-e2e-quota";
  bundle.spec.linux_->resources->cpu.emplace();
  bundle.spec.linux_->resources->cpu->quota_us = 50000;
  bundle.spec.linux_->resources->cpu->period_us = 100000;
  create("web", bundle);
  std::string found;
  for (const char* file : {"/sys/fs/cgroup/cpu/agentvm-e2e-quota/cpu.cfs_quota_us",
                           "/sys/fs/cgroup/agentvm-e2e-quota/cpu.max"}) {
    if (std::filesystem::exists(file)) found += read_file(file);
  }
  EXPECT_THAT(found, testing::StartsWith("50000"));
}

TEST_F(Limits, ALimitThatCannotBeEnforcedIsRefused) {
  Bundle bundle({"/bin/true"});
  bundle.spec.linux_->resources->cpu.emplace();
  bundle.spec.linux_->resources->cpu->realtime_runtime_us = 1000;
  EXPECT_THAT(run(bundle).err, HasSubstr("realtime"));
}

// The host's only place among those that start is taken: the next waits, and goes on after it.
TEST_F(Limits, MoreVmsThanMayStartAtOnceWaitForTheirTurn) {
  const std::string place = "/run/agentvm-host/start-0";
  Background other({"sh", "-c", "exec 9<>" + place + "; flock 9; echo taken; exec sleep 1000"});
  ASSERT_TRUE(other.wait_for_output("taken"));
  configure("parallel_starts = 1");
  const Bundle bundle(Bundle::shell("echo runs"));
  bundle.store();
  Background waiting(command({"run", "--bundle", bundle.path(), "web"}));
  ASSERT_TRUE(eventually([this] { return status("web") == "creating"; }));
  ::usleep(500'000);
  EXPECT_EQ(status("web"), "creating");
  EXPECT_THAT(processes_of("web", "qemu-system"), testing::IsEmpty());
  other.send(SIGKILL);
  const Outcome outcome = waiting.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "runs\n");
}

}  // namespace
}  // namespace agentvm::e2e
