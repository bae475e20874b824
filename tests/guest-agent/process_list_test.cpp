#include "guest-agent/process_list.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

namespace agentvm::guest {
namespace {

using namespace std::string_literals;

const std::string kStat =
    "42 (a) b (c) S 7 42 42 34816 42 4194304 100 0 0 0 150 50 0 0 20 0 1 0 1234 2285568 200";
const std::string kStatus = "Name:\ta) b (c\nUid:\t1000\t0\t0\t0\nNSpid:\t42\t5\t1\nThreads:\t1\n";

TEST(ParseProcess, CountsFieldsFromTheLastBracket) {
  const auto entry = parse_process(kStat, kStatus, "sh\0-c\0true\0"s, 100);
  ASSERT_TRUE(entry.has_value()) << entry.error().text();
  EXPECT_EQ(entry->pid, 42);
  EXPECT_EQ(entry->ppid, 7);
  EXPECT_EQ(entry->uid, 1000u);
  EXPECT_EQ(entry->tty, "pts/0");
  EXPECT_EQ(entry->cpu_time_ms, 2000u);
  EXPECT_EQ(entry->start_time_ms, 12340u);
  EXPECT_EQ(entry->command, "sh -c true");
  EXPECT_EQ(entry->namespace_pids, (std::vector<pid_t>{42, 5, 1}));
}

TEST(ParseProcess, AKernelThreadOrZombieShowsItsNameInBrackets) {
  const auto entry = parse_process(kStat, kStatus, "", 100);
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->command, "[a) b (c]");
}

TEST(ParseProcess, CutsALongCommand) {
  const auto entry = parse_process(kStat, kStatus, std::string(100000, 'x'), 100);
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->command.size(), 512u);
}

TEST(ParseProcess, RefusesWhatIsNotAsProcSays) {
  EXPECT_FALSE(parse_process("", kStatus, "", 100).has_value());
  EXPECT_FALSE(parse_process(") (", kStatus, "", 100).has_value());
  EXPECT_FALSE(parse_process("1 (a) S 2", kStatus, "", 100).has_value());
  EXPECT_FALSE(parse_process(kStat, "Name: x\n", "", 100).has_value());
}

TEST(ReadProcesses, FindsThisOneAndLeavesOutTheDead) {
  const std::array<pid_t, 2> pids = {::getpid(), 2147483000};
  const auto entries = read_processes(pids);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].pid, ::getpid());
  EXPECT_EQ(entries[0].ppid, ::getppid());
  EXPECT_EQ(entries[0].uid, ::getuid());
}

}  // namespace
}  // namespace agentvm::guest
