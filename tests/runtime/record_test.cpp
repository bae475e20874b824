#include "runtime/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/runtime/sample_record.h"

namespace agentvm::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string error_of(const std::string& json) {
  auto record = parse_record(json);
  return record ? "no error" : record.error().text();
}

TEST(ContainerRecord, ParsesBackToWhatWasWritten) {
  const ContainerRecord record = make_sample_record("web");
  auto parsed = parse_record(write_record(record));
  ASSERT_TRUE(parsed) << parsed.error().text();
  EXPECT_EQ(*parsed, record);
}

TEST(ContainerRecord, NamesTheMemberThatIsWrong) {
  const std::string good = write_record(make_sample_record("web"));
  EXPECT_EQ(error_of(replaced(good, "\"pid\": 4242", "\"pid\": -1")),
            "/monitor/pid: must not be negative, found -1");
  EXPECT_THAT(error_of(replaced(good, "\"running\"", "\"walking\"")),
              HasSubstr("/status: expected one of creating, created, running, paused, stopped"));
  EXPECT_EQ(error_of(replaced(good, "\"/docker/web\"", "\"/docker/../..\"")),
            "/cgroup/dirs/0/path: must not contain '..', found \"/docker/../..\"");
  EXPECT_EQ(error_of(replaced(good, "\"/docker\"", "\"docker\"")),
            "/cgroup/dirs/0/madeParents/0: must be an absolute path, found \"docker\"");
  EXPECT_EQ(error_of(replaced(good, "\"owner\"", "\"landlord\"")), "/owner: required");
  EXPECT_EQ(error_of(replaced(good, "\"owner\"", "\"new\": 1, \"owner\"")),
            "/new: unknown member; another version of agentvm wrote this");
}

TEST(EffectiveStatus, IsStoppedOnceTheProcessThatAnswersForItIsGone) {
  ContainerRecord record = make_sample_record("web");
  record.status = Status::running;
  record.monitor = *refer_to_process(::getpid());
  EXPECT_EQ(effective_status(record), Status::running);
  record.monitor.start_time += 1;  // the pid is somebody else's by now
  EXPECT_EQ(effective_status(record), Status::stopped);
  record.status = Status::creating;
  record.creator = *refer_to_process(::getpid());
  EXPECT_EQ(effective_status(record), Status::creating);
  record.creator = {};
  EXPECT_EQ(effective_status(record), Status::stopped);
}

TEST(IsAlive, CountsAZombieAsGone) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  const auto process = refer_to_process(child);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  ASSERT_TRUE(process) << process.error().text();
  EXPECT_FALSE(is_alive(*process));
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(is_alive(*process));
  EXPECT_FALSE(is_alive(ProcessRef{}));
}

TEST(MakeTimestamp, IsRfc3339WithNanoseconds) {
  EXPECT_THAT(make_timestamp(), MatchesRegex("20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:"
                                             "[0-5][0-9]:[0-6][0-9]\\.[0-9]{9}Z"));
}

}  // namespace
}  // namespace agentvm::runtime
