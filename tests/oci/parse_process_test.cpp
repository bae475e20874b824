#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/spec_parser.h"

namespace agentvm::oci {
namespace {

std::string error_of(std::string_view members) {
  const auto process = parse_process(fmt::format(R"({{"cwd": "/", "args": ["sh"], {}}})", members));
  return process ? "no error" : process.error().text();
}

TEST(ParseProcess, ReadsWhatDockerExecSends) {
  const auto process = parse_process(
      R"({"terminal":true,"consoleSize":{"height":24,"width":80},"user":{"uid":0,"gid":0,)"
      R"("additionalGids":[0,10]},"args":["sh"],"env":["PATH=/bin","TERM=xterm"],"cwd":"/",)"
      R"("capabilities":{"bounding":["CAP_CHOWN"],"effective":["CAP_CHOWN"],)"
      R"("permitted":["CAP_CHOWN"]},"apparmorProfile":"docker-default","oomScoreAdj":0})");
  ASSERT_TRUE(process) << process.error().text();
  EXPECT_TRUE(process->terminal);
  EXPECT_THAT(process->user.additional_gids, testing::ElementsAre(0, 10));
  EXPECT_EQ(process->oom_score_adj, 0);
}

TEST(ParseProcess, TakesTheUserForRootWhenNoneIsGiven) {
  const auto process = parse_process(R"({"cwd": "/", "args": ["sh"]})");
  ASSERT_TRUE(process);
  EXPECT_EQ(process->user, User{});
}

TEST(ParseProcess, WantsACommandAndADirectory) {
  EXPECT_EQ(parse_process(R"({"cwd": "/"})").error().text(), "/args: required");
  EXPECT_EQ(parse_process(R"({"cwd": "/", "args": []})").error().text(),
            "/args: must have at least one entry");
  EXPECT_EQ(parse_process(R"({"args": ["sh"]})").error().text(), "/cwd: required");
  EXPECT_EQ(parse_process(R"({"args": ["sh"], "cwd": "tmp"})").error().text(),
            "/cwd: must be an absolute path, found \"tmp\"");
  EXPECT_EQ(parse_process(R"({"args": ["sh", null], "cwd": "/"})").error().text(),
            "/args/1: expected a string, found null");
}

TEST(ParseProcess, NamesTheUserThatIsWrong) {
  EXPECT_EQ(error_of(R"("user": {"uid": -1, "gid": 0})"),
            "/user/uid: expected an unsigned 32-bit integer, found -1");
  EXPECT_EQ(error_of(R"("user": {"uid": "root"})"),
            "/user/uid: expected an unsigned 32-bit integer, found \"root\"");
  EXPECT_EQ(error_of(R"("user": {"umask": 512})"),
            "/user/umask: must be between 0 and 511, found 512");
}

TEST(ParseProcess, WantsNamesInTheEnvironment) {
  EXPECT_EQ(error_of(R"("env": ["A=1", "B"])"), "/env/1: must be NAME=value, found \"B\"");
  EXPECT_EQ(error_of(R"("env": ["=x"])"), "/env/0: must be NAME=value, found \"=x\"");
  EXPECT_EQ(error_of(R"("env": ["A="])"), "no error");
}

TEST(ParseProcess, ChecksRlimits) {
  EXPECT_THAT(error_of(R"("rlimits": [{"type": "NOFILE", "hard": 1, "soft": 1}])"),
              testing::StartsWith("/rlimits/0/type: expected one of RLIMIT_AS, "));
  EXPECT_EQ(error_of(R"("rlimits": [{"type": "RLIMIT_CPU", "hard": 1, "soft": 2}])"),
            "/rlimits/0/soft: must not be above hard");
  EXPECT_EQ(error_of(R"("rlimits": [{"type": "RLIMIT_CPU", "hard": 1, "soft": 1},
                                    {"type": "RLIMIT_CPU", "hard": 2, "soft": 1}])"),
            "/rlimits: a type is given twice");
  EXPECT_EQ(error_of(R"("rlimits": [{"type": "RLIMIT_CPU", "soft": 1}])"),
            "/rlimits/0/hard: required");
}

TEST(ParseProcess, ChecksThePriorities) {
  EXPECT_EQ(error_of(R"("oomScoreAdj": 1001)"),
            "/oomScoreAdj: must be between -1000 and 1000, found 1001");
  EXPECT_EQ(error_of(R"("ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8})"),
            "/ioPriority/priority: must be between 0 and 7, found 8");
  EXPECT_THAT(error_of(R"("ioPriority": {"class": "BE"})"),
              testing::StartsWith("/ioPriority/class: expected one of IOPRIO_CLASS_RT, "));
  EXPECT_EQ(error_of(R"("scheduler": {"policy": "SCHED_OTHER", "priority": 1})"),
            "/scheduler/priority: only for SCHED_FIFO and SCHED_RR");
  EXPECT_EQ(error_of(R"("scheduler": {"policy": "SCHED_RR", "deadline": 1})"),
            "/scheduler/policy: runtime, deadline and period are only for SCHED_DEADLINE");
  EXPECT_EQ(error_of(R"("scheduler": {"policy": "SCHED_BATCH", "nice": 20})"),
            "/scheduler/nice: must be between -20 and 19, found 20");
  EXPECT_EQ(error_of(R"("execCPUAffinity": {"initial": "all"})"),
            "/execCPUAffinity/initial: must be a list like 0-3,7, found \"all\"");
}

TEST(ParseProcess, ChecksTheWindow) {
  EXPECT_EQ(error_of(R"("consoleSize": {"height": 65536, "width": 1})"),
            "/consoleSize/height: expected an unsigned 16-bit integer, found 65536");
  EXPECT_EQ(error_of(R"("consoleSize": {"height": 1})"), "/consoleSize/width: required");
}

}  // namespace
}  // namespace agentvm::oci
