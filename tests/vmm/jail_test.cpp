#include "vmm/jail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/base/sys.h"
#include "tests/temp_dir.h"
#include "tests/vmm/processes.h"

namespace agentvm::vmm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t kNoCapability = 0;

// The witness in a jail whose root holds nothing but it.
JailSpec sealed(const std::string& what, int out) {
  JailSpec spec;
  spec.name = "witness";
  spec.program = "/witness";
  spec.argv = {"/witness", what};
  spec.env = {"GIVEN=1"};
  spec.fds = {JailFd{}, JailFd{out, {}}, JailFd{out, {}}};
  spec.namespaces = all_namespaces();
  JailEntry program;
  program.kind = JailEntry::Kind::bind;
  program.path = "witness";
  program.source = JAIL_WITNESS;
  spec.root = std::vector{program};
  const uid_t uid = uid_of_part(::getpid(), 3);
  spec.user = JailUser{uid, uid, {}, kNoCapability};
  spec.filter = SyscallFilter::unprivileged;
  spec.limits = {{RLIMIT_CORE, 0}};
  return spec;
}

Result<Child> start(const JailSpec& spec) {
  auto begun = JailStart::begin(spec);
  if (!begun) return std::unexpected(std::move(begun).error());
  asio::io_context io(1);
  return run_to_end(io, std::move(*begun).finish());
}

struct Outcome {
  std::string output;
  int status = -1;
};

class Jail : public ::testing::Test {
 protected:
  void SetUp() override {
    auto [read_end, write_end] = *sys::pipe();
    out_ = std::move(read_end);
    in_ = std::move(write_end);
  }

  // Starts, reads all that it says, waits.
  Outcome run(const JailSpec& spec) {
    auto child = start(spec);
    in_.reset();
    EXPECT_TRUE(child) << (child ? "" : child.error().text());
    if (!child) return {};
    Outcome outcome;
    outcome.output = *sys::read_all(out_.get(), 65536);
    asio::io_context io(1);
    outcome.status = *run_to_end(io, child->wait());
    return outcome;
  }

  void wait_until_ready() {
    std::string line(6, '\0');
    ASSERT_EQ(::read(out_.get(), line.data(), line.size()), 6);
    ASSERT_EQ(line, "ready\n");
  }

  UniqueFd out_;
  UniqueFd in_;
};

TEST_F(Jail, ShowsTheProgramNothingButWhatItWasGiven) {
  const Outcome seen = run(sealed("look", in_.get()));
  EXPECT_EQ(seen.status, 0);
  EXPECT_THAT(seen.output, HasSubstr("ls /: witness\n"));
  EXPECT_THAT(seen.output, HasSubstr("write /: E"));
  EXPECT_THAT(seen.output, HasSubstr("pid 1 parent 0 session 1\n"));
  EXPECT_THAT(seen.output, HasSubstr("inet EAFNOSUPPORT\n"));
  EXPECT_THAT(seen.output, HasSubstr("env GIVEN=1\n"));
  EXPECT_THAT(seen.output, HasSubstr("core 0 0\n"));
  EXPECT_THAT(seen.output, HasSubstr("fd 2 "));
  EXPECT_THAT(seen.output, Not(HasSubstr("fd 3 ")));
  for (const char* other : {"proc", "dev", "usr", "etc"}) {
    EXPECT_THAT(seen.output, Not(HasSubstr(std::string("ls /: ") + other)));
  }
}

TEST_F(Jail, GivesTheProgramAUidOfItsOwnAndNoPrivilege) {
  const Outcome seen = run(sealed("look", in_.get()));
  const std::string uid = std::to_string(uid_of_part(::getpid(), 3));
  EXPECT_THAT(seen.output, HasSubstr("uid " + uid + " " + uid + "\n"));
  EXPECT_THAT(seen.output, HasSubstr("gid " + uid + " " + uid + "\n"));
  EXPECT_THAT(seen.output, HasSubstr("groups 0\n"));
  EXPECT_THAT(seen.output, HasSubstr("capabilities 000000000 000000000\n"));
  EXPECT_THAT(seen.output, HasSubstr("bounding 0\n"));
  EXPECT_THAT(seen.output, HasSubstr("no_new_privs 1\n"));
  EXPECT_THAT(seen.output, HasSubstr("seccomp 2\n"));
}

TEST_F(Jail, GivesANetworkProgramTcpAndUdpAndNoOtherSockets) {
  JailSpec spec = sealed("look", in_.get());
  EXPECT_THAT(run(spec).output, HasSubstr("unix open\ninet EAFNOSUPPORT\ninet6 EAFNOSUPPORT\n"));
  SetUp();
  spec = sealed("look", in_.get());
  spec.filter = SyscallFilter::unprivileged_network;
  const Outcome seen = run(spec);
  EXPECT_THAT(seen.output, HasSubstr("unix open\ninet open\ninet6 open\nnetlink EAFNOSUPPORT\n"
                                     "vsock EAFNOSUPPORT\nwide EAFNOSUPPORT\n"));
}

TEST_F(Jail, LeavesRootExactlyTheNamedCapabilities) {
  JailSpec spec = sealed("look", in_.get());
  constexpr std::uint64_t kKept = std::uint64_t{1} << CAP_CHOWN | std::uint64_t{1} << CAP_SETUID;
  spec.user = JailUser{0, 0, {4711}, kKept};
  const Outcome seen = run(spec);
  EXPECT_THAT(seen.output, HasSubstr("capabilities 000000081 000000081\n"));
  EXPECT_THAT(seen.output, HasSubstr("bounding 81\n"));
  EXPECT_THAT(seen.output, HasSubstr("groups 1 4711\n"));
}

TEST_F(Jail, OpensADirectoryThatLeadsNowhereElse) {
  const TempDir directory;
  (void)directory.write("inside", "x");
  JailSpec spec = sealed("look", in_.get());
  const UniqueFd borrowed = *sys::open_at(AT_FDCWD, directory.path(), O_PATH | O_DIRECTORY);
  JailEntry entry;
  entry.kind = JailEntry::Kind::bind;
  entry.path = "deep/er";
  entry.source_fd = borrowed.get();
  spec.root->push_back(entry);
  JailEntry link;
  link.kind = JailEntry::Kind::symlink;
  link.path = "link";
  link.source = "deep";
  spec.root->push_back(link);
  spec.fds.push_back(JailFd{-1, "/link/er"});
  spec.user = JailUser{0, 0, {}, kNoCapability};  // the directory is root's
  Outcome seen = run(spec);
  EXPECT_THAT(seen.output, HasSubstr("fd 3 dir\n"));
  EXPECT_THAT(seen.output, HasSubstr("ls /: deep\n"));
  EXPECT_THAT(seen.output, HasSubstr("up elsewhere\n"));  // "deep", the mount point's parent
}

TEST_F(Jail, KillsAProgramThatTracesOrMounts) {
  for (const char* what : {"ptrace", "mount"}) {
    SetUp();
    const Outcome seen = run(sealed(what, in_.get()));
    EXPECT_TRUE(WIFSIGNALED(seen.status) && WTERMSIG(seen.status) == SIGSYS) << what;
  }
}

TEST_F(Jail, RefusesIoUringWithoutKilling) {
  const Outcome seen = run(sealed("io_uring", in_.get()));
  EXPECT_EQ(seen.status, 0);
  EXPECT_EQ(seen.output, "io_uring ENOSYS\n");
}

TEST_F(Jail, NamesTheProgramThatCannotBeExecuted) {
  JailSpec spec = sealed("look", in_.get());
  spec.program = "/other";
  const auto child = start(spec);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().text(), "start witness: execute '/other': ENOENT");
  EXPECT_EQ(child.error().kind, ErrorKind::unavailable);
}

TEST_F(Jail, NamesTheDirectoryThatIsNotInTheRoot) {
  JailSpec spec = sealed("look", in_.get());
  spec.fds.push_back(JailFd{-1, "/nowhere"});
  const auto child = start(spec);
  ASSERT_FALSE(child);
  EXPECT_THAT(child.error().text(),
              HasSubstr("start witness: open '/nowhere' in its root: ENOENT"));
}

TEST_F(Jail, RefusesARootWithoutAMountNamespace) {
  JailSpec spec = sealed("look", in_.get());
  spec.namespaces = CLONE_NEWPID;
  const auto child = start(spec);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().text(), "start witness: a root of its own needs a mount namespace");
}

TEST_F(Jail, RefusesAnEntryOutsideOfTheRoot) {
  for (const char* path : {"/etc", "../etc", ""}) {
    JailSpec spec = sealed("look", in_.get());
    spec.root->front().path = path;
    const auto child = start(spec);
    ASSERT_FALSE(child) << path;
    EXPECT_THAT(child.error().text(), HasSubstr("root entry"));
  }
}

TEST_F(Jail, KillsAndReapsWithTheObject) {
  pid_t pid = 0;
  {
    auto child = start(sealed("stay", in_.get()));
    ASSERT_TRUE(child) << child.error().text();
    wait_until_ready();
    pid = child->pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

// The end of the pipe means that every process that held it is gone.
bool ends(int fd) {
  pollfd watched{fd, POLLIN, 0};
  char byte = 0;
  return ::poll(&watched, 1, 20'000) == 1 && ::read(fd, &byte, 1) == 0;
}

class Orphaned : public Jail, public ::testing::WithParamInterface<const char*> {
 protected:
  // Its parent is forked, so that it can be killed.
  void expect_end_with_parent(const JailSpec& spec) {
    const pid_t parent = ::fork();
    if (parent == 0) {
      auto child = start(spec);
      in_.reset();
      for (;;) ::pause();
    }
    in_.reset();
    wait_until_ready();
    ::kill(parent, SIGKILL);
    ::waitpid(parent, nullptr, 0);
    EXPECT_TRUE(ends(out_.get()));
  }
};

TEST_P(Orphaned, DiesWithItsParentAndTakesItsChildrenAlong) {
  expect_end_with_parent(sealed(GetParam(), in_.get()));
}

TEST_P(Orphaned, DiesWithAParentThoughItKeepsRootsUid) {
  JailSpec spec = sealed(GetParam(), in_.get());
  spec.user = JailUser{0, 0, {}, std::uint64_t{1} << CAP_SETUID};
  expect_end_with_parent(spec);
}

INSTANTIATE_TEST_SUITE_P(Jail, Orphaned, ::testing::Values("stay", "fork"));

TEST(UidOfPart, IsUniqueAmongMonitorsAndParts) {
  EXPECT_EQ(uid_of_part(1, 0), 0x70000001U);
  EXPECT_EQ(uid_of_part(4'194'303, 0) + 1, uid_of_part(0, 1));
  EXPECT_GT(uid_of_part(4'194'303, 3), uid_of_part(4'194'303, 2));
  EXPECT_LT(uid_of_part(4'194'303, 3), 0x80000000U);  // some tools take more for negative
}

TEST(NeedsLoader, TellsStaticFromDynamicPrograms) {
  EXPECT_FALSE(needs_loader(JAIL_WITNESS));
  EXPECT_TRUE(needs_loader("/proc/self/exe"));
  EXPECT_FALSE(needs_loader("/etc/passwd"));
  EXPECT_FALSE(needs_loader("/nowhere"));
}

TEST(ProgramRoot, BindsThePrefixOfAProgramOutsideOfUsr) {
  const TempDir directory;
  const std::string program = directory.write("opt/qemu/bin/qemu", "", 0755);
  const auto entries = make_program_root(program);
  EXPECT_EQ(entries.back().source, directory / "opt/qemu");
  EXPECT_EQ(entries.front().source, "/usr");
  EXPECT_FALSE(entries.front().writable);
}

}  // namespace
}  // namespace agentvm::vmm
