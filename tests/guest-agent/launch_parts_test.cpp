// The pure parts of a launch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cerrno>
#include <filesystem>

#include "guest-agent/launch/capabilities.h"
#include "guest-agent/launch/environment.h"
#include "guest-agent/launch/in_root.h"
#include "guest-agent/launch/lookup.h"
#include "guest-agent/launch/mount_fd.h"
#include "guest-agent/launch/report.h"
#include "guest-agent/launch/settings.h"
#include "guest-agent/launch/sources.h"
#include "guest-agent/launch/step.h"
#include "oci/mount_options.h"

namespace agentvm::guest {
namespace {

using ::testing::ElementsAre;

TEST(LaunchReport, ComesOutAsItWentIn) {
  const Error error{ErrorKind::not_found, ENOENT, "open '/x'"};
  const auto report = parse_report(write_failure(error));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->kind, ReportKind::failure);
  EXPECT_EQ(report->error, error);
  EXPECT_EQ(parse_report(write_report(ReportKind::ready))->kind, ReportKind::ready);
}

TEST(LaunchReport, LosesTheMiddleOfALongText) {
  const Error error{ErrorKind::internal, 0, "begin" + std::string(20000, 'x') + "end"};
  const std::string bytes = write_failure(error);
  EXPECT_LE(bytes.size(), kLongestReport);
  const auto report = parse_report(bytes);
  EXPECT_TRUE(report->error.message.starts_with("begin"));
  EXPECT_TRUE(report->error.message.ends_with("end"));
}

TEST(LaunchReport, RefusesWhatIsNone) {
  for (const std::string& bytes :
       {std::string(), std::string("\0", 1), std::string("\x09", 1), std::string("\x02x", 2),
        std::string("\x04", 1), std::string("\x04\x09\0\0\0\0", 6),
        std::string("\x04\x01\xff\xff\xff\xff", 6), std::string(kLongestReport + 1, '\x04')}) {
    EXPECT_FALSE(parse_report(bytes).has_value());
  }
  EXPECT_EQ(parse_report(std::string("\x04\x01\0\0\0\0a\nb", 9))->error.message, "a?b");
}

TEST(LaunchSteps, StopAtTheFirstFailureAndNameIt) {
  struct Walk {
    int steps = 0;
  };
  const auto good = [](Walk& walk) -> Result<void> { return ++walk.steps, Result<void>(); };
  const auto bad = [](Walk&) -> Result<void> { return fail_errno(EPERM, "touch it"); };
  Walk walk;
  const Step<Walk> named[] = {{"first", good}, {"second", bad}, {"third", good}};
  EXPECT_EQ(run_steps<Walk>(named, walk).error().text(),
            "second: touch it: Operation not permitted");
  EXPECT_EQ(walk.steps, 1);
  const Step<Walk> verbatim[] = {{"second", bad, StepError::verbatim}};
  EXPECT_EQ(run_steps<Walk>(verbatim, walk).error().text(), "touch it: Operation not permitted");
}

TEST(LaunchCapabilities, BecomeBitsByTheirNumbers) {
  EXPECT_EQ(capability_mask({"CAP_CHOWN", "CAP_NET_ADMIN", "CAP_BPF"}),
            1ULL << CAP_CHOWN | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_BPF);
  EXPECT_EQ(capability_mask({"CAP_OF_THE_FUTURE", "", "7"}) & ~(1ULL << 7), 0U);
}

TEST(LaunchLookup, SearchesThePathAsGoDoes) {
  EXPECT_EQ(find_program("sh", "/nope:/bin:/usr/bin").value(), "/bin/sh");
  EXPECT_EQ(find_program("/bin/sh", "").value(), "/bin/sh");
  EXPECT_EQ(find_program("sh", "").error().text(),
            "exec: \"sh\": executable file not found in $PATH");
  EXPECT_EQ(find_program("sh", "/etc:/nope").error().text(),
            "exec: \"sh\": executable file not found in $PATH");
  std::filesystem::current_path("/bin");
  EXPECT_EQ(find_program("sh", "/nope:").error().text(),
            "exec: \"sh\": cannot run executable found relative to current directory");
  std::filesystem::current_path("/");
  EXPECT_EQ(find_program("a\"b\n", "").error().text(),
            "exec: \"a\\\"b\\x0a\": executable file not found in $PATH");
}

TEST(LaunchEnvironment, LetsTheLastOfANameWin) {
  EXPECT_THAT(unique_environment({"A=1", "B=2", "A=3", "C="}), ElementsAre("A=3", "B=2", "C="));
  EXPECT_EQ(environment_value({"AB=1", "A=2"}, "A"), "2");
  EXPECT_EQ(environment_value({"AB=1"}, "A"), "");
}

TEST(LaunchEnvironment, FindsTheHomeInAPasswd) {
  constexpr std::string_view kPasswd =
      "\n:::\nroot:x:0:0:root:/root:/bin/sh\nodd\nbad:x:1x:1::/bad:\nme:x:1000:1000::/home/me\n"
      "none:x:7:7:::/bin/sh\nagain:x:0:0::/second:";
  EXPECT_EQ(home_in_passwd(kPasswd, 0), "/root");
  EXPECT_EQ(home_in_passwd(kPasswd, 1000), "/home/me");
  EXPECT_EQ(home_in_passwd(kPasswd, 1), "/");
  EXPECT_EQ(home_in_passwd(kPasswd, 7), "/");
  EXPECT_EQ(home_in_passwd("", 0), "/");
}

TEST(LaunchPaths, AreCleanedByTheirLetters) {
  EXPECT_EQ(clean_path("/a//b/./c/"), "/a/b/c");
  EXPECT_EQ(clean_path("/../../a/../b"), "/b");
  EXPECT_EQ(clean_path("a"), "/a");
  EXPECT_EQ(clean_path(""), "/");
}

TEST(LaunchSettings, KnowTheirNumbers) {
  EXPECT_EQ(rlimit_number("RLIMIT_NOFILE"), RLIMIT_NOFILE);
  EXPECT_EQ(rlimit_number("RLIMIT_NOPE"), std::nullopt);
  EXPECT_EQ(scheduler_policy("SCHED_IDLE"), 5);
  EXPECT_EQ(io_priority_value({"IOPRIO_CLASS_BE", 3}).value(), 2 << 13 | 3);
  EXPECT_EQ(io_priority_value({"IOPRIO_CLASS_BE", 8}).error().text(),
            "ioPriority 8 is not between 0 and 7");
}

TEST(LaunchSettings, ReadListsOfCpus) {
  EXPECT_THAT(cpu_mask("0-3,7").value(), ElementsAre(0x8f));
  EXPECT_THAT(cpu_mask("64,1").value(), ElementsAre(2, 1));
  EXPECT_EQ(cpu_mask("3-1").error().text(), "'3-1' runs backwards");
  EXPECT_EQ(cpu_mask("9999999").error().text(), "'9999999' is not the number of a CPU");
  EXPECT_EQ(cpu_mask("1,").error().text(), "'' is not the number of a CPU");
}

TEST(LaunchMounts, TurnFlagsIntoAttributes) {
  const auto of = [](std::vector<std::string> options) {
    return attributes_of(oci::parse_mount_options(options).value());
  };
  EXPECT_EQ(of({"ro", "nosuid"}), (MountAttributes{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0}));
  EXPECT_EQ(of({"rw", "exec"}), (MountAttributes{0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC}));
  EXPECT_EQ(of({"noatime"}), (MountAttributes{MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME}));
  EXPECT_EQ(of({"rbind", "size=1"}), MountAttributes{});
}

TEST(LaunchDevices, AreTheDefaultOnesUnlessTheSpecHasThem) {
  oci::Spec spec;
  spec.linux_.emplace();
  EXPECT_EQ(device_nodes(spec).value().size(), 6U);
  spec.linux_->devices = {{"c", "/dev//null", 1, 3, {}, {}, {}}, {"b", "/dev/x", 8, 1, 0600, 1, 2}};
  const auto nodes = device_nodes(spec).value();
  ASSERT_EQ(nodes.size(), 7U);
  EXPECT_EQ(nodes[5].path, "/dev/null");
  EXPECT_EQ(nodes[6].mode, 0060600U);
}

TEST(LaunchIds, AreFoundInTheMappings) {
  const std::vector<oci::IdMapping> mappings = {{0, 1000, 10}, {20, 5000, 1}};
  EXPECT_EQ(outside_id(mappings, 9).value(), 1009U);
  EXPECT_EQ(outside_id(mappings, 20).value(), 5000U);
  EXPECT_EQ(outside_id({}, 7).value(), 7U);
  EXPECT_EQ(outside_id(mappings, 10).error().text(),
            "id 10 is in none of the user namespace's mappings");
}

}  // namespace
}  // namespace agentvm::guest
