// linux.seccomp, compiled and at work.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/seccomp_filter.h"
#include "tests/guest-agent/launch_container.h"

namespace agentvm::guest {
namespace {

using ::testing::HasSubstr;

// Allows everything but what `rules` say.
oci::Seccomp allow_but(std::vector<oci::SeccompSyscall> rules) {
  oci::Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ALLOW";
  seccomp.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  seccomp.syscalls = std::move(rules);
  return seccomp;
}

TEST(Seccomp, AnswersWithTheErrorOfTheRule) {
  for (const bool no_new_privileges : {false, true}) {
    LaunchContainer container;
    container.spec.process->no_new_privileges = no_new_privileges;
    container.spec.linux_->seccomp =
        allow_but({{{"mkdir"}, "SCMP_ACT_ERRNO", {}, {}}, {{"rmdir"}, "SCMP_ACT_ERRNO", 38, {}}});
    const Ran ran = container.run("mkdir /tmp/x; grep Seccomp: /proc/self/status");
    EXPECT_EQ(ran.out,
              "mkdir: can't create directory '/tmp/x': Operation not permitted\nSeccomp:\t2\n");
  }
}

TEST(Seccomp, KillsTheProcess) {
  LaunchContainer container;
  container.spec.linux_->seccomp = allow_but({{{"mkdir"}, "SCMP_ACT_KILL_PROCESS", {}, {}}});
  EXPECT_EQ(container.run("mkdir /tmp/x; echo $?").out, "Bad system call\n159\n");
}

TEST(Seccomp, LooksAtArguments) {
  LaunchContainer container;
  // kill(pid, 0) is refused, other signals are not.
  container.spec.linux_->seccomp =
      allow_but({{{"kill"}, "SCMP_ACT_ERRNO", {}, {{1, 0, 0, "SCMP_CMP_EQ"}}}});
  EXPECT_EQ(container.run("kill -0 $$ || echo refused; kill -CONT $$ && echo passed").out,
            "sh: can't kill pid 1: Operation not permitted\nrefused\npassed\n");
}

TEST(Seccomp, TakesTwoConditionsOnOneArgumentForAlternatives) {
  LaunchContainer container;
  container.spec.linux_->seccomp = allow_but(
      {{{"kill"}, "SCMP_ACT_ERRNO", {}, {{1, 0, 0, "SCMP_CMP_EQ"}, {1, 18, 0, "SCMP_CMP_EQ"}}}});
  EXPECT_THAT(container.run("kill -0 $$ || echo one; kill -CONT $$ || echo two").out,
              testing::AllOf(HasSubstr("one\n"), HasSubstr("two\n")));
}

TEST(Seccomp, ToleratesNamesAndArchitecturesItDoesNotKnow) {
  oci::Seccomp seccomp = allow_but({{{"no_such_call", "mkdir"}, "SCMP_ACT_ERRNO", {}, {}}});
  seccomp.architectures.push_back("SCMP_ARCH_LOONGARCH64");
  seccomp.architectures.push_back("SCMP_ARCH_S390X");
  const auto filter = oci::compile_seccomp(seccomp);
  EXPECT_TRUE(filter.has_value()) << filter.error().text();
}

TEST(Seccomp, RefusesWhatOnlyAListenerCouldAnswer) {
  oci::Seccomp seccomp = allow_but({{{"mkdir"}, "SCMP_ACT_NOTIFY", {}, {}}});
  EXPECT_EQ(oci::compile_seccomp(seccomp).error().text(),
            "linux.seccomp: SCMP_ACT_NOTIFY is not supported: nothing outside the VM can answer "
            "for it");
  seccomp.listener_path = "/run/listener";
  EXPECT_EQ(oci::compile_seccomp(seccomp).error().text(),
            "linux.seccomp: listenerPath is not supported: nothing outside the VM can serve it");
}

TEST(Seccomp, SetsFlags) {
  oci::Seccomp seccomp = allow_but({});
  seccomp.flags = {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
  EXPECT_EQ(oci::compile_seccomp(seccomp)->flags, 6U);
}

// A filter run by hand, as the kernel would (the instructions that filters are made of).
std::uint32_t answer_of(const std::vector<sock_filter>& program, std::uint32_t arch,
                        std::uint32_t call) {
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& op = program[at];
    switch (op.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        accumulator = op.k == 4 ? arch : op.k == 0 ? call : 0;
        continue;
      case BPF_JMP | BPF_JA:
        at += op.k;
        continue;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += accumulator == op.k ? op.jt : op.jf;
        continue;
      case BPF_JMP | BPF_JGT | BPF_K:
        at += accumulator > op.k ? op.jt : op.jf;
        continue;
      case BPF_JMP | BPF_JGE | BPF_K:
        at += accumulator >= op.k ? op.jt : op.jf;
        continue;
      case BPF_RET | BPF_K:
        return op.k;
      default:
        ADD_FAILURE() << "instruction " << op.code;
        return 0;
    }
  }
  return 0;
}

TEST(Seccomp, TellsCallsNewerThanTheProfileThatTheyDoNotExist) {
  oci::Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ERRNO";
  seccomp.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  seccomp.syscalls = {{{"read", "openat2"}, "SCMP_ACT_ALLOW", {}, {}}};  // openat2 is 437
  const auto filter = oci::compile_seccomp(seccomp);
  ASSERT_TRUE(filter.has_value());
  constexpr std::uint32_t kAmd64 = 0xC000003E;
  constexpr std::uint32_t kI386 = 0x40000003;
  constexpr std::uint32_t kX32 = 0x40000000;
  constexpr std::uint32_t kAllow = 0x7fff0000;
  constexpr std::uint32_t kEperm = 0x00050001;
  constexpr std::uint32_t kEnosys = 0x00050026;
  EXPECT_EQ(answer_of(filter->program, kAmd64, 0), kAllow);
  EXPECT_EQ(answer_of(filter->program, kAmd64, 437), kAllow);
  EXPECT_EQ(answer_of(filter->program, kAmd64, 1), kEperm);
  EXPECT_EQ(answer_of(filter->program, kAmd64, 438), kEnosys);
  EXPECT_EQ(answer_of(filter->program, kI386, 3), kAllow);
  EXPECT_EQ(answer_of(filter->program, kI386, 500), kEnosys);
  EXPECT_EQ(answer_of(filter->program, kAmd64, kX32 | 437), kAllow);
  EXPECT_EQ(answer_of(filter->program, kAmd64, kX32 | 438), kEnosys);
  EXPECT_EQ(answer_of(filter->program, kAmd64, kX32 | 1), kEperm);
}

}  // namespace
}  // namespace agentvm::guest
