// What a container's process finds itself to be, seen from inside.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "oci/base/sys.h"
#include "tests/guest-agent/launch_container.h"

namespace agentvm::guest {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(LaunchInit, RunsTheProgramAndTellsItsExitStatus) {
  LaunchContainer container;
  const Ran ran = container.run("echo hello; echo $$; exit 7");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "hello\n1\n");
  EXPECT_EQ(ran.exit_code(), 7);
}

TEST(LaunchInit, GivesOnlyTheDescriptorsOfStdio) {
  LaunchContainer container;
  const Ran ran = container.run("ls /proc/self/fd");
  EXPECT_EQ(ran.out, "0\n1\n2\n3\n");  // 3 is the listing itself
}

TEST(LaunchInit, ResetsSignals) {
  LaunchContainer container;
  // Not by a shell, which ignores some itself.
  container.spec.process->args = {"grep", "-E", "Sig(Blk|Ign|Cgt)", "/proc/self/status"};
  const Ran ran = container.run_process();
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out,
            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n");
}

TEST(LaunchInit, SetsUserGroupsUmaskAndCapabilities) {
  LaunchContainer container;
  container.spec.process->user = {1000, 1001, 0027, {5, 6}};
  const Ran ran =
      container.run("id -u; id -g; id -G; umask; grep -E '^(Cap|NoNewPrivs)' /proc/self/status");
  EXPECT_EQ(ran.out,
            "1000\n1001\n1001 5 6\n0027\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
            "CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n"
            "NoNewPrivs:\t0\n");
}

TEST(LaunchInit, GivesRootTheCapabilitiesThatTheSpecNames) {
  LaunchContainer container;
  const Ran ran = container.run("grep -E '^Cap' /proc/self/status");
  EXPECT_EQ(ran.out,
            "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
            "CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n");
}

TEST(LaunchInit, GivesAUserAmbientCapabilities) {
  LaunchContainer container;
  container.spec.process->user.uid = 1000;
  const std::vector<std::string> one = {"CAP_NET_BIND_SERVICE"};
  container.spec.process->capabilities = oci::Capabilities{one, one, one, one, one};
  const Ran ran = container.run("grep -E '^Cap' /proc/self/status");
  EXPECT_EQ(ran.out,
            "CapInh:\t0000000000000400\nCapPrm:\t0000000000000400\nCapEff:\t0000000000000400\n"
            "CapBnd:\t0000000000000400\nCapAmb:\t0000000000000400\n");
}

TEST(LaunchInit, NamesAnAmbientCapabilityThatCannotBe) {
  LaunchContainer container;
  container.spec.process->capabilities->ambient = {"CAP_CHOWN"};
  EXPECT_EQ(container.run("true").error(),
            "set capabilities: ambient capability cap_chown (it must be permitted and "
            "inheritable): Operation not permitted");
}

TEST(LaunchInit, HasNoCapabilitiesWhenTheSpecNamesNone) {
  LaunchContainer container;
  container.spec.process->capabilities.reset();
  const Ran ran = container.run("grep -E '^Cap(Eff|Bnd)' /proc/self/status");
  EXPECT_EQ(ran.out, "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n");
}

TEST(LaunchInit, SetsNoNewPrivileges) {
  LaunchContainer container;
  container.spec.process->no_new_privileges = true;
  EXPECT_EQ(container.run("grep NoNewPrivs /proc/self/status").out, "NoNewPrivs:\t1\n");
}

TEST(LaunchInit, SetsRlimitsOomScoreAndPriorities) {
  LaunchContainer container;
  oci::Process& process = *container.spec.process;
  process.rlimits = {{"RLIMIT_NOFILE", 100, 90}, {"RLIMIT_CORE", 0, 0}};
  process.oom_score_adj = 321;
  process.scheduler = oci::Scheduler{"SCHED_BATCH", 7, {}, {}, {}, {}, {}};
  process.io_priority = oci::IoPriority{"IOPRIO_CLASS_BE", 6};
  const Ran ran = container.run(
      "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; "
      "awk '{print $19}' /proc/1/stat; ionice -p 1; awk '{print $41}' /proc/1/stat");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "90\n100\n0\n321\n7\nbest-effort: prio 6\n3\n");
}

TEST(LaunchInit, NamesTheRlimitThatTheKernelRefuses) {
  LaunchContainer container;
  container.spec.process->rlimits = {{"RLIMIT_NOFILE", 10, 20}};
  EXPECT_EQ(container.run("true").error(), "rlimit RLIMIT_NOFILE 20:10: Invalid argument");
}

TEST(LaunchInit, SetsThePersonality) {
  LaunchContainer container;
  container.spec.linux_->personality = oci::Personality{"LINUX32", {}};
  EXPECT_EQ(container.run("cat /proc/self/personality").out, "00000008\n");
}

TEST(LaunchInit, SetsHomeFromThePasswdFileWhenItIsMissing) {
  LaunchContainer container;
  container.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\nme:x:1000:1000:Me:/home/me:/bin/sh\n");
  container.spec.process->user.uid = 1000;
  EXPECT_EQ(container.run("echo $HOME").out, "/home/me\n");
  container.spec.process->env.push_back("HOME=/given");
  EXPECT_EQ(container.run("echo $HOME").out, "/given\n");
  container.spec.process->env.back() = "HOME=";
  container.spec.process->user.uid = 4711;
  EXPECT_EQ(container.run("echo $HOME").out, "/\n");
}

TEST(LaunchInit, IsNotHeldUpByAPasswdThatIsAFifo) {
  LaunchContainer container;
  ASSERT_EQ(::mkfifo((container.root() + "/etc/passwd").c_str(), 0666), 0);
  EXPECT_EQ(container.run("echo $HOME").out, "/\n");
}

TEST(LaunchInit, MakesAMissingWorkingDirectory) {
  LaunchContainer container;
  container.spec.process->cwd = "/work/deep";
  EXPECT_EQ(container.run("pwd").out, "/work/deep\n");
}

TEST(LaunchInit, SaysWhyItCannotMakeTheWorkingDirectory) {
  LaunchContainer container;
  container.write("/file", "");
  container.spec.process->cwd = "/file/x";
  EXPECT_EQ(container.run("true").error(), "mkdir /file: not a directory");
}

TEST(LaunchInit, EntersAWorkingDirectoryThatOnlyTheUserMay) {
  LaunchContainer container;
  container.make_directory("/mine", 0700);
  ASSERT_EQ(::chown((container.root() + "/mine").c_str(), 1000, 1000), 0);
  container.spec.process->cwd = "/mine";
  container.spec.process->user = {1000, 1000, {}, {}};
  container.spec.process->capabilities = oci::Capabilities{};
  EXPECT_EQ(container.run("pwd").out, "/mine\n");
}

TEST(LaunchInit, GivesStdioToTheUser) {
  LaunchContainer container;
  container.spec.process->user = {1000, 1000, {}, {}};
  EXPECT_EQ(container.run("echo again > /proc/self/fd/1").out, "again\n");
}

struct ProgramCase {
  std::string program;
  std::string error;
};

TEST(LaunchInit, TellsInRuncsWordsThatAProgramCannotBeExecuted) {
  LaunchContainer container;
  container.write("/notexecutable", "x", 0644);
  container.write("/bin/notexecutable", "x", 0644);
  container.write("/file", "x", 0755);
  const std::vector<ProgramCase> cases = {
      {"nope", "exec: \"nope\": executable file not found in $PATH"},
      {"notexecutable", "exec: \"notexecutable\": executable file not found in $PATH"},
      {"", "exec: \"\": executable file not found in $PATH"},
      {"/nope", "exec: \"/nope\": stat /nope: no such file or directory"},
      {"./nope", "exec: \"./nope\": stat ./nope: no such file or directory"},
      {"/file/x", "exec: \"/file/x\": stat /file/x: not a directory"},
      {"/etc", "exec: \"/etc\": permission denied"},
      {"/notexecutable", "exec: \"/notexecutable\": permission denied"},
  };
  for (const ProgramCase& item : cases) {
    container.spec.process->args = {item.program};
    EXPECT_EQ(container.run_process().error(), item.error) << item.program;
  }
}

TEST(LaunchInit, FailsAtStartWhenTheKernelRefusesTheProgram) {
  LaunchContainer container;
  container.write("/script", "#!/nope/sh\n", 0755);
  container.write("/text", "\1\2\3", 0755);
  container.spec.process->args = {"/script"};
  const Ran script = container.run_process();
  EXPECT_EQ(script.error(), "exec /script: no such file or directory");
  EXPECT_EQ(script.exit_code(), 127);
  container.spec.process->args = {"/text"};
  EXPECT_EQ(container.run_process().error(), "exec /text: exec format error");
}

TEST(LaunchInit, HasATerminalOfTheGivenSizeThatItsUserOwns) {
  LaunchContainer container;
  container.spec.process->terminal = true;
  container.spec.process->console_size = oci::ConsoleSize{33, 99};
  container.spec.process->user = {1000, 1000, {}, {}};
  const Ran ran = container.run(
      "tty; stty size; stat -c '%u %a' $(tty); echo seen > /dev/console;"
      "awk '{print $6, $7 != 0}' /proc/self/stat");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "/dev/pts/0\r\n33 99\r\n1000 620\r\nseen\r\n1 1\r\n");
}

TEST(LaunchInit, RefusesATerminalWithoutADevptsOfItsOwn) {
  LaunchContainer container;
  container.spec.process->terminal = true;
  std::erase_if(container.spec.mounts, [](const auto& m) { return m.destination == "/dev/pts"; });
  EXPECT_THAT(container.run("true").error(), StartsWith("open the terminal: open '/dev/pts/ptmx'"));
  container.write("/dev/pts/x", "");
  container.add_mount("tmpfs", "tmpfs", "/dev/pts", {});
  container.add_mount("bind", "/dev/ptmx", "/dev/pts/ptmx", {"bind"});
  EXPECT_EQ(container.run("true").error(), "open the terminal: '/dev/pts' is not a devpts");
}

TEST(LaunchInit, RunsStartContainerHooksInTheContainer) {
  LaunchContainer container;
  container.spec.hooks.start_container = {
      {"/bin/sh",
       {"sh", "-c", "{ cat; echo; hostname; cat /proc/$$/environ; } > /tmp/seen"},
       {"A=b"},
       {}}};
  const Ran ran = container.run("cat /tmp/seen");
  EXPECT_EQ(ran.error(), "");
  // Its environment as it was executed: what a shell adds is its own.
  using namespace std::string_literals;
  EXPECT_EQ(ran.out, "{\"id\":\"test\",\"status\":\"created\"}\nbox\nA=b\0"s);
}

TEST(LaunchInit, StopsWhenAStartContainerHookFails) {
  LaunchContainer container;
  auto& hooks = container.spec.hooks.start_container;
  hooks = {{"/bin/sh", {"sh", "-c", "echo out; echo err >&2; exit 3"}, {}, {}}};
  Ran ran = container.run("echo never");
  EXPECT_EQ(ran.error(),
            "error running startContainer hook #0: exit status 3, stdout: out, stderr: err");
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.exit_code(), 127);
  hooks = {{"/bin/true", {}, {}, {}}, {"/nohook", {}, {}, {}}};
  EXPECT_EQ(container.run("true").error(),
            "error running startContainer hook #1: fork/exec /nohook: no such file or directory");
  hooks = {{"/bin/sleep", {"sleep", "1000"}, {}, 1}};
  EXPECT_EQ(container.run("true").error(),
            "error running startContainer hook #0: hook ran past specified timeout of 1 s, stdout: "
            ", stderr: ");
}

TEST(LaunchInit, IsKilledWhenItIsNotStarted) {
  LaunchContainer container;
  container.spec.process->args = {"/bin/true"};
  asio::io_context io;
  InitLaunch launch;
  launch.spec = container.spec;
  launch.cgroup = container.cgroup();
  auto launched = run_to_end(io, launch_init(std::move(launch)));
  ASSERT_TRUE(launched.has_value()) << launched.error().text();
  // The container's destructor waits for every child: it must not wait for ever.
}

TEST(LaunchInit, JoinsNamespacesOfAnotherContainer) {
  LaunchContainer pod;
  pod.spec.hostname = "the-pod";
  pod.write("/its-own", "");
  pod.start();
  LaunchContainer member;
  member.spec.hostname.clear();
  std::string expected = "the-pod\n";
  for (const auto& [type, file] :
       {std::pair{oci::NamespaceType::ipc, "ipc"}, std::pair{oci::NamespaceType::uts, "uts"},
        std::pair{oci::NamespaceType::pid, "pid"}}) {
    member.drop_namespace(type);
    auto init = sys::pidfd_open(pod.init_pid());
    ASSERT_TRUE(init.has_value());
    member.joined.push_back({type, *std::move(init)});
    const std::string link = fmt::format("/proc/{}/ns/{}", pod.init_pid(), file);
    expected += std::filesystem::read_symlink(link).string() + "\n";
  }
  expected += "other\n";  // the files are its own
  const Ran ran = member.run(
      "hostname; cd /proc/self/ns; for n in ipc uts pid; do readlink $n; done; "
      "if [ -e /its-own ]; then echo same; else echo other; fi");
  pod.stop();  // before the other, which reaps all that is left
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, expected);
}

TEST(LaunchInit, RefusesWhatNoGuestCanGive) {
  const auto error_of = [](auto change) {
    LaunchContainer container;
    change(container.spec);
    return container.run("true").error();
  };
  EXPECT_THAT(error_of([](oci::Spec& s) { s.process->apparmor_profile = "docker-default"; }),
              StartsWith("process.apparmorProfile: 'docker-default' cannot be applied"));
  EXPECT_THAT(error_of([](oci::Spec& s) { s.process->selinux_label = "x:y"; }),
              StartsWith("process.selinuxLabel: 'x:y' cannot be applied"));
  EXPECT_THAT(error_of([](oci::Spec& s) { s.linux_->namespaces[4].path = "/proc/7/ns/ipc"; }),
              StartsWith("linux.namespaces: the ipc namespace has the path '/proc/7/ns/ipc'"));
  EXPECT_EQ(error_of([](oci::Spec& s) { s.linux_->namespaces[1].path = "/proc/7/ns/net"; }), "");
  EXPECT_EQ(error_of([](oci::Spec& s) { s.process->apparmor_profile = "unconfined"; }), "");
}

}  // namespace
}  // namespace agentvm::guest
