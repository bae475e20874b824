// Several containers in one VM, by the command line, as CRI-O and Podman use it.
#include <fmt/format.h>
#include <signal.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>

#include "oci/base/json_reader.h"
#include "tests/e2e/harness/container.h"
#include "tests/e2e/harness/network.h"

namespace agentvm::e2e {
namespace {

using oci::NamespaceType;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kType = "io.kubernetes.cri.container-type";
constexpr const char* kSandboxId = "io.kubernetes.cri.sandbox-id";

struct Sandbox : Bundle {
  Sandbox() : Bundle({"/bin/sleep", "1000"}) {
    spec.annotations = {{kType, "sandbox"}, {kSandboxId, "pod"}};
    spec.hostname = "the-pod";
  }
};

// With the network, ipc and uts of the process that stands in for the sandbox, and its pid where it
// is asked for.
struct Member : Bundle {
  Member(const std::string& script, pid_t sandbox, bool pid) : Bundle(shell(script)) {
    spec.annotations = {{kType, "container"}, {kSandboxId, "pod"}};
    spec.hostname.clear();
    for (oci::Namespace& entry : spec.linux_->namespaces) {
      const char* file = nullptr;
      if (entry.type == NamespaceType::network) file = "net";
      if (entry.type == NamespaceType::ipc) file = "ipc";
      if (entry.type == NamespaceType::uts) file = "uts";
      if (entry.type == NamespaceType::pid && pid) file = "pid";
      if (file != nullptr) entry.path = fmt::format("/proc/{}/ns/{}", sandbox, file);
    }
  }
};

class Pod : public Agentvm {
 protected:
  void start_sandbox() const {
    create("pod", sandbox_);
    start("pod");
  }
  [[nodiscard]] Member make_member(const std::string& script, bool pid = false) const {
    return Member(script, stand_in("pod"), pid);
  }
  void start_member(const std::string& id, const Bundle& bundle) const {
    create(id, bundle);
    start(id);
  }
  [[nodiscard]] std::string in(const std::string& id, const std::string& script) const {
    const Outcome outcome = agentvm({"exec", id, "sh", "-c", script});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  }
  [[nodiscard]] std::string refusal_of(const Bundle& bundle) const {
    bundle.store();
    const Outcome created = agentvm({"create", "--bundle", bundle.path(), "refused"});
    EXPECT_NE(created.status, 0);
    EXPECT_THAT(agentvm({"state", "refused"}).err, HasSubstr("does not exist"));
    return created.err;
  }
  void remove_all(const std::vector<std::string>& ids) const {
    for (const std::string& id : ids) {
      const Outcome removed = agentvm({"delete", "--force", id});
      EXPECT_EQ(removed.status, 0) << removed.err;
    }
    EXPECT_THAT(agentvm({"list", "--quiet"}).out, IsEmpty());
  }

  Sandbox sandbox_;
};

TEST_F(Pod, SharesNetworkIpcHostnameAndShm) {
  const TestNetwork network;
  const TemporaryDirectory shm;
  ASSERT_EQ(::mount("shm", shm.path().c_str(), "tmpfs", 0, "size=4m"), 0);
  const auto has_shm = [&shm](Bundle& bundle) {
    std::erase_if(bundle.spec.mounts,
                  [](const auto& mount) { return mount.destination == "/dev/shm"; });
    bundle.spec.mounts.push_back({"/dev/shm", "bind", shm.path(), {"rbind"}, {}, {}});
  };
  for (oci::Namespace& entry : sandbox_.spec.linux_->namespaces) {
    if (entry.type == NamespaceType::network) entry.path = network.path();
  }
  has_shm(sandbox_);
  start_sandbox();
  Member web = make_member("while :; do echo hello | nc -l -p 8080; done");
  has_shm(web);
  start_member("web", web);
  Member shell = make_member("exec sleep 1000", true);
  has_shm(shell);
  start_member("shell", shell);

  EXPECT_EQ(in("shell", "until nc 127.0.0.1 8080; do usleep 50000; done"), "hello\n");
  EXPECT_THAT(in("shell", "ip addr show eth0"), HasSubstr("10.88.0.2"));
  EXPECT_EQ(in("web", "hostname"), "the-pod\n");
  for (const char* space : {"ipc", "uts"}) {
    const std::string command = fmt::format("readlink /proc/self/ns/{}", space);
    EXPECT_EQ(in("web", command), in("pod", command));
    EXPECT_EQ(in("shell", command), in("pod", command));
  }
  // The pid namespace is the sandbox's where that is asked for, and one's own otherwise.
  EXPECT_EQ(in("shell", "cat /proc/1/cmdline | tr '\\0' ' '"), "/bin/sleep 1000 ");
  EXPECT_EQ(in("web", "readlink /proc/1/ns/pid"), in("web", "readlink /proc/self/ns/pid"));
  EXPECT_NE(in("web", "readlink /proc/self/ns/pid"), in("pod", "readlink /proc/self/ns/pid"));
  EXPECT_EQ(in("web", "echo shared > /dev/shm/file; df -k /dev/shm | awk 'END {print $2}'"),
            "4096\n");
  EXPECT_EQ(in("shell", "cat /dev/shm/file"), "shared\n");
  // Each has a root of its own.
  (void)in("web", "touch /only-web");
  EXPECT_TRUE(std::filesystem::exists(web.rootfs() + "/only-web"));
  EXPECT_EQ(in("shell", "ls /only-web 2>/dev/null || echo none"), "none\n");
  // One VM.
  EXPECT_EQ(processes_of("pod", "qemu-system").size(), 1U);
  EXPECT_THAT(processes_of("web", "qemu-system"), IsEmpty());
  remove_all({"web", "shell", "pod"});
  EXPECT_EQ(::umount(shm.path().c_str()), 0);
}

TEST_F(Pod, TakesTheVerbsOfAnyContainer) {
  start_sandbox();
  const Member bundle = make_member("trap 'exit 7' TERM; while :; do sleep 0.1; done");
  create("web", bundle);
  EXPECT_EQ(status("web"), "created");
  start("web");
  EXPECT_EQ(status("web"), "running");
  EXPECT_THAT(agentvm({"list"}).out, HasSubstr("web"));
  EXPECT_THAT(agentvm({"ps", "--format", "json", "web"}).out,
              HasSubstr(std::to_string(stand_in("web"))));
  EXPECT_EQ(agentvm({"pause", "web"}).status, 0);
  EXPECT_EQ(status("web"), "paused");
  EXPECT_EQ(status("pod"), "running");
  EXPECT_EQ(agentvm({"resume", "web"}).status, 0);
  EXPECT_EQ(agentvm({"update", "--pids-limit", "50", "web"}).status, 0);
  EXPECT_THAT(agentvm({"events", "--stats", "web"}).out, HasSubstr("\"limit\":50"));
  // A terminal's size and a detached exec go the same ways as without a pod; here the streams.
  CommandOptions with_input;
  with_input.input = "from outside\n";
  EXPECT_EQ(agentvm({"exec", "web", "cat"}, with_input).out, "from outside\n");
  // Who joins the stand-in's mount namespace is in the container, not on the host.
  const auto joined = [&](const std::string& file) {
    return run_command(
        {"nsenter", "--target", std::to_string(stand_in("web")), "--mount", "/bin/cat", file});
  };
  (void)in("web", "echo mine > /mine");
  EXPECT_EQ(joined("/mine").out, "mine\n");
  EXPECT_NE(joined(scratch() + "/config.toml").status, 0);

  EXPECT_EQ(agentvm({"kill", "web", "TERM"}).status, 0);
  wait_for_status("web", "stopped");
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
  // The others do not notice; the same name may come again.
  EXPECT_EQ(status("pod"), "running");
  const Member again = make_member("exec sleep 1000");
  start_member("web", again);
  EXPECT_EQ(in("web", "echo again"), "again\n");
  // What a member left in the guest is gone with it: one share is there, the running one's.
  EXPECT_EQ(in("web", "grep -c /members/ /proc/mounts || true"), "0\n");
  // The sandbox's end is everybody's.
  EXPECT_EQ(agentvm({"kill", "pod", "KILL"}).status, 0);
  wait_for_status("pod", "stopped");
  wait_for_status("web", "stopped");
  remove_all({"pod", "web"});
}

TEST_F(Pod, ForegroundMemberHasStreamsAndExitStatus) {
  start_sandbox();
  Member bundle = make_member("read line; echo got $line; echo bad >&2; exit 9");
  bundle.store();
  CommandOptions options;
  options.input = "this\n";
  const Outcome ran = agentvm({"run", "--bundle", bundle.path(), "once"}, options);
  EXPECT_EQ(ran.status, 9);
  EXPECT_EQ(ran.out, "got this\n");
  EXPECT_THAT(ran.err, HasSubstr("bad"));
  EXPECT_EQ(status("pod"), "running");
  remove_all({"pod"});
}

TEST_F(Pod, DeathOfTheVmIsTheDeathOfAll) {
  for (const char* victim : {"monitor", "qemu-system", "virtiofsd", "agentvm-vsock"}) {
    SCOPED_TRACE(victim);
    start_sandbox();
    const Member sleeper = make_member("exec sleep 1000");
    sleeper.store();
    Background foreground(command({"run", "--bundle", sleeper.path(), "front"}));
    start_member("web", make_member("exec sleep 1000"));
    wait_for_status("front", "running");
    std::vector<pid_t> pids{stand_in("pod")};
    if (std::string_view(victim) != "monitor") pids = processes_of("pod", victim);
    ASSERT_FALSE(pids.empty());
    for (const pid_t pid : pids) ::kill(pid, SIGKILL);
    EXPECT_EQ(foreground.wait().status, 137);
    wait_for_status("pod", "stopped");
    wait_for_status("web", "stopped");
    EXPECT_THAT(refusal_of(make_member("true")), HasSubstr("has no VM to take a container in"));
    remove_all({"web", "pod"});
  }
}

TEST_F(Pod, DeathOfAStandInHarmsNoOther) {
  start_sandbox();
  start_member("web", make_member("exec sleep 1000"));
  const Member other = make_member("exec sleep 1000", true);
  start_member("other", other);
  ASSERT_EQ(::kill(stand_in("web"), SIGKILL), 0);
  wait_for_status("web", "stopped");
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
  start_member("web", make_member("exec sleep 1000"));
  EXPECT_EQ(in("other", "pidof sleep | wc -w"), "2\n") << "its own and the sandbox's";
  EXPECT_EQ(status("other"), "running");
  // While it is being made, too.
  const Member slow = make_member("true");
  for (int after_ms : {0, 20, 60, 150}) {
    slow.store();
    // One that is made in time has its output for as long as it lives.
    CommandOptions options;
    options.file_output = true;
    Background creating(command({"create", "--bundle", slow.path(), "slow"}), options);
    const timespec pause{0, after_ms * 1'000'000L};
    ::nanosleep(&pause, nullptr);
    creating.send(SIGKILL);
    (void)creating.wait();
    EXPECT_EQ(agentvm({"delete", "--force", "slow"}).status, 0);
  }
  start_member("slow", make_member("exec sleep 1000"));
  remove_all({"slow", "web", "other", "pod"});
}

TEST_F(Pod, TellsWhyAContainerIsNotTakenIn) {
  Member lost("true", 1, false);
  lost.spec.annotations[kSandboxId] = "nobody";
  EXPECT_THAT(refusal_of(lost), HasSubstr("pod's sandbox 'nobody': there is none below"));
  start_sandbox();
  start_member("web", make_member("exec sleep 1000"));
  Member in_member = make_member("true");
  in_member.spec.annotations[kSandboxId] = "web";
  EXPECT_THAT(refusal_of(in_member), HasSubstr("that container is not a pod's sandbox"));
  // Another network than the pod's, and a namespace of nobody in the pod.
  Member elsewhere = make_member("true");
  for (oci::Namespace& entry : elsewhere.spec.linux_->namespaces) {
    if (entry.type == NamespaceType::network) entry.path = "/proc/1/ns/net";
  }
  EXPECT_THAT(refusal_of(elsewhere), HasSubstr("has the network of the pod's sandbox"));
  Member with_disk = make_member("true");
  with_disk.spec.annotations["io.agentvm.docker"] = "true";
  EXPECT_THAT(refusal_of(with_disk), HasSubstr("'io.agentvm.docker': a pod's containers have no"));
  Member stranger = make_member("true");
  for (oci::Namespace& entry : stranger.spec.linux_->namespaces) {
    if (entry.type == NamespaceType::ipc) entry.path = "/proc/1/ns/ipc";
  }
  EXPECT_THAT(refusal_of(stranger), HasSubstr("a VM cannot join a namespace of this host"));
  Member nonsense = make_member("true");
  nonsense.spec.annotations[kType] = "pod";
  EXPECT_THAT(refusal_of(nonsense), HasSubstr("expected 'sandbox' or 'container', found 'pod'"));
  EXPECT_EQ(status("web"), "running");
  remove_all({"web", "pod"});
}

TEST_F(Pod, IsAsLargeAsItsContainersNeed) {
  constexpr std::int64_t kMib = 1024 * 1024;
  sandbox_.spec.annotations["io.kubernetes.cri.sandbox-memory"] = std::to_string(100 * kMib);
  start_sandbox();
  const auto memory_mib = [this] {
    const auto state = JsonDocument::parse(agentvm({"state", "--verbose", "pod"}).out);
    return state->root().find("vm")->find("memoryMiB")->as_unsigned().value_or(0);
  };
  const std::uint64_t first = memory_mib();
  EXPECT_GT(first, 100U);
  EXPECT_LT(first, 300U);
  Member large = make_member("exec sleep 1000");
  large.spec.mounts.push_back({"/big", "tmpfs", "tmpfs", {"size=2g"}, {}, {}});
  large.spec.linux_->resources.emplace();
  large.spec.linux_->resources->memory.emplace();
  large.spec.linux_->resources->memory->limit = 400 * kMib;
  start_member("large", large);
  EXPECT_GT(memory_mib(), 400U);
  EXPECT_EQ(in("large", "cat /sys/fs/cgroup/memory.max"), std::to_string(400 * kMib) + "\n");
  // More than the VM had at first is really there.
  EXPECT_EQ(in("large", "head -c 260m /dev/zero > /big/x; wc -c < /big/x"),
            std::to_string(260 * kMib) + "\n");
  EXPECT_EQ(agentvm({"update", "--memory", "500M", "large"}).status, 0);
  EXPECT_GT(memory_mib(), 500U);
  remove_all({"large", "pod"});
}

}  // namespace
}  // namespace agentvm::e2e
