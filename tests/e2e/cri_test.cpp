// Pods as the kubelet makes them: containerd's CRI plugin, its CNI network, the shim.
#include "tests/e2e/harness/cri.h"

#include <fmt/format.h>
#include <signal.h>

#include <filesystem>
#include <sstream>

#include "oci/base/sys.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// Proportional set size: what a process costs its host.
std::uint64_t pss_kib(pid_t pid) {
  std::istringstream lines(read_file(fmt::format("/proc/{}/smaps_rollup", pid)));
  for (std::string name; lines >> name;) {
    std::uint64_t kib = 0;
    if (name == "Pss:" && lines >> kib) return kib;
  }
  return 0;
}

class CriPods : public Cri {
 protected:
  [[nodiscard]] std::string run(const std::string& pod, const cri::PodSandboxConfig& config,
                                const std::string& name, const std::string& script) const {
    const std::string id = create(pod, config, make_container(name, script));
    start(id);
    return id;
  }
  [[nodiscard]] std::string out_of(const std::string& container, const std::string& script) const {
    const auto answer = exec_sync(container, script);
    EXPECT_EQ(answer.exit_code(), 0) << answer.stderr();
    return answer.stdout();
  }
};

TEST_F(CriPods, ContainersOfAPodLiveTogether) {
  const auto config = make_pod("two");
  const std::string pod = run_pod(config);
  const std::string web =
      run(pod, config, "web", "echo started; while :; do echo hello | nc -l -p 8080; done");
  const std::string shell =
      run(pod, config, "shell", "trap 'exit 5' TERM; while :; do sleep 1; done");

  // One VM, one shim for it, small.
  EXPECT_EQ(parts_of(pod, "qemu-system").size(), 1U);
  EXPECT_FALSE(std::filesystem::exists(bundle_of(web) + "/shim.pid"));
  EXPECT_LT(pss_kib(shim_pid(pod)), 12U * 1024);

  EXPECT_EQ(out_of(shell, "until nc 127.0.0.1 8080; do usleep 50000; done"), "hello\n");
  EXPECT_EQ(out_of(shell, "hostname"), "two\n");
  EXPECT_THAT(out_of(web, "ip addr show eth0"), HasSubstr(pod_ip(pod)));
  EXPECT_EQ(out_of(web, "echo there > /dev/shm/file"), "");
  EXPECT_EQ(out_of(shell, "cat /dev/shm/file"), "there\n");
  // From outside, over the bridge.
  EXPECT_TRUE(eventually([&] {
    return run_command(
               {"nsenter", "--net=" + network_namespace, "busybox", "nc", pod_ip(pod), "8080"})
               .out == "hello\n";
  }));
  EXPECT_THAT(log_of("web"), HasSubstr("stdout F started"));
  const auto failed = exec_sync(shell, "echo oops >&2; exit 3");
  EXPECT_EQ(failed.exit_code(), 3);
  EXPECT_EQ(failed.stderr(), "oops\n");

  cri::ContainerStatsRequest about;
  about.set_container_id(web);
  const auto stats =
      ask_cri<cri::ContainerStatsResponse>("RuntimeService/ContainerStats", about).stats();
  EXPECT_GT(stats.cpu().usage_core_nano_seconds().value(), 0U);
  EXPECT_GT(stats.memory().working_set_bytes().value(), 0U);
  EXPECT_EQ(ask_cri<cri::ListContainerStatsResponse>("RuntimeService/ListContainerStats",
                                                     cri::ListContainerStatsRequest())
                .stats_size(),
            2);

  // A container's restart, as the kubelet does it: another one of the same name.
  stop(shell, 10);
  EXPECT_EQ(status(shell).exit_code(), 5);
  remove(shell);
  auto again = make_container("shell", "exec sleep 1000");
  again.mutable_metadata()->set_attempt(1);
  const std::string second = create(pod, config, again);
  start(second);
  EXPECT_EQ(out_of(second, "until nc 127.0.0.1 8080; do usleep 50000; done"), "hello\n");

  stop_pod(pod);
  EXPECT_TRUE(has_exited(web));
  EXPECT_EQ(status(web).exit_code(), 137);
  remove_pod(pod);
  EXPECT_THAT(ctr({"task", "ls", "-q"}).out, IsEmpty());
}

TEST_F(CriPods, SharesProcessesLimitsAndEnds) {
  auto config = make_pod("one");
  config.mutable_linux_config()->mutable_security_context()->mutable_namespace_options()->set_pid(
      cri::POD);
  auto& resources = *config.mutable_linux_config()->mutable_resources();
  resources.set_memory_limit_in_bytes(std::int64_t{256} << 20);
  const std::string pod = run_pod(config);
  auto limited = make_container("limited", "exec sleep 1000");
  auto& own = *limited.mutable_linux_config()->mutable_resources();
  own.set_memory_limit_in_bytes(std::int64_t{100} << 20);
  own.set_cpu_period(100000);
  own.set_cpu_quota(50000);
  limited.mutable_linux_config()->mutable_security_context()->mutable_namespace_options()->set_pid(
      cri::POD);
  const std::string container = create(pod, config, limited);
  start(container);
  EXPECT_THAT(out_of(container, "tr '\\0' ' ' </proc/1/cmdline"), HasSubstr("sleep 1000000"));
  EXPECT_EQ(out_of(container, "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max"),
            fmt::format("{}\n50000 100000\n", 100 << 20));
  cri::UpdateContainerResourcesRequest update;
  update.set_container_id(container);
  *update.mutable_linux_config() = own;
  update.mutable_linux_config()->set_memory_limit_in_bytes(std::int64_t{120} << 20);
  (void)ask_cri<cri::UpdateContainerResourcesResponse>("RuntimeService/UpdateContainerResources",
                                                       update);
  EXPECT_EQ(out_of(container, "cat /sys/fs/cgroup/memory.max"), fmt::format("{}\n", 120 << 20));

  // The VM's death is everybody's; the pod can be removed.
  const auto qemu = parts_of(pod, "qemu-system");
  ASSERT_EQ(qemu.size(), 1U);
  ASSERT_EQ(::kill(qemu.front(), SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return has_exited(container); }));
  EXPECT_EQ(status(container).exit_code(), 137);
  stop_pod(pod);
  remove_pod(pod);
}

TEST_F(CriPods, OutliveContainerdAndEndWithTheirShim) {
  const auto config = make_pod("tough");
  const std::string pod = run_pod(config);
  const std::string web = run(pod, config, "web", "exec sleep 1000");
  kill_containerd(SIGKILL);
  start_containerd();
  // Which answers ctr before its CRI plugin is ready.
  EXPECT_TRUE(eventually([&] {
    return call<cri::ListPodSandboxResponse>("RuntimeService/ListPodSandbox",
                                             cri::ListPodSandboxRequest())
        .has_value();
  }));
  EXPECT_EQ(out_of(web, "echo still here"), "still here\n");
  const pid_t shim = shim_pid(pod);
  ASSERT_EQ(::kill(shim, SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return has_exited(web); }));
  stop_pod(pod);
  remove_pod(pod);
}

}  // namespace
}  // namespace agentvm::e2e
