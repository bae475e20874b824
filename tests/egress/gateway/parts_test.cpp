// The gateway's pure parts.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "egress/gateway/decision_log.h"
#include "egress/gateway/dns_server.h"
#include "egress/gateway/first_bytes.h"
#include "egress/gateway/judge.h"
#include "egress/gateway/pins.h"
#include "oci/base/sys.h"
#include "tests/temp_dir.h"

namespace agentvm::egress {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const Address kOne = parse_address("93.184.216.1").value();
const Address kTwo = parse_address("93.184.216.2").value();

TEST(Pins, HoldForAsLongAsTheAnswerAndAtLeastAMinute) {
  Pins pins;
  const Pins::Clock::time_point start{};
  pins.add("a.test", kOne, 0, start);
  pins.add("b.test", kOne, 600, start);
  pins.add("c.test", kTwo, 1'000'000, start);
  EXPECT_TRUE(pins.holds("a.test", kOne, start + seconds(119)));
  EXPECT_FALSE(pins.holds("a.test", kOne, start + seconds(121)));
  EXPECT_FALSE(pins.holds("a.test", kTwo, start));
  EXPECT_THAT(pins.names_of(kOne, start), ElementsAre("a.test", "b.test"));
  EXPECT_THAT(pins.names_of(kOne, start + seconds(200)), ElementsAre("b.test"));
  EXPECT_FALSE(pins.holds("c.test", kTwo, start + seconds(3661)));
}

TEST(Pins, LiveLongerWhenTheyAreGivenAgainAndNeverShorter) {
  Pins pins;
  const Pins::Clock::time_point start{};
  pins.add("a.test", kOne, 600, start);
  pins.add("a.test", kOne, 60, start + seconds(10));
  EXPECT_TRUE(pins.holds("a.test", kOne, start + seconds(650)));
  pins.add("a.test", kOne, 600, start + seconds(100));
  EXPECT_TRUE(pins.holds("a.test", kOne, start + seconds(750)));
  EXPECT_EQ(pins.size(), 1U);
}

TEST(Pins, AreBoundedAndForgetWhatEndsFirst) {
  Pins pins;
  const Pins::Clock::time_point start{};
  pins.add("first.test", kOne, 60, start);
  for (std::size_t i = 0; i < Pins::kMax + 10; ++i) {
    pins.add(fmt::format("n{}.test", i), kOne, 600, start);
  }
  EXPECT_EQ(pins.size(), Pins::kMax);
  EXPECT_FALSE(pins.holds("first.test", kOne, start));
  EXPECT_TRUE(pins.holds(fmt::format("n{}.test", Pins::kMax + 9), kOne, start));
  pins.add("later.test", kOne, 60, start + seconds(10'000));
  EXPECT_EQ(pins.size(), 1U);
}

TEST(Classify, TellsTlsFromHttpFromTheRest) {
  EXPECT_FALSE(classify(""));
  EXPECT_FALSE(classify("\x16\3"));
  EXPECT_FALSE(classify("GET"));
  EXPECT_EQ(classify("GET / HTTP/1.1\r\n")->spoken, Spoken::http);
  EXPECT_EQ(classify("PRI * HTTP/2.0\r\n")->spoken, Spoken::http);
  EXPECT_EQ(classify("GET/")->spoken, Spoken::other);
  EXPECT_EQ(classify("get /")->spoken, Spoken::other);
  EXPECT_EQ(classify(" GET /")->spoken, Spoken::other);
  EXPECT_EQ(classify("SSH-2.0-x")->spoken, Spoken::other);
  EXPECT_EQ(classify(std::string(30, 'A'))->spoken, Spoken::other);
  EXPECT_EQ(classify("\x16\2xxxxxx")->spoken, Spoken::broken);
}

TEST(Classify, WantsTheRestOfARecordAtOnce) {
  EXPECT_EQ(wanted_after("GET"), 4U);
  EXPECT_EQ(wanted_after("\x16\3"), 5U);
  EXPECT_EQ(wanted_after(std::string("\x16\3\1\2\0", 5)), 517U);
  EXPECT_EQ(wanted_after(std::string("\x16\3\1\0\1x\x16", 7)), 11U);
}

// "allow x" as in the policy's tests.
Settings settings_of(const std::vector<std::string>& lines, bool otherwise = false,
                     const std::string& credential = {}) {
  std::string rules;
  for (const std::string& line : lines) {
    const std::size_t space = line.find(' ');
    const std::size_t path = line.find(' ', space + 1);
    rules += fmt::format(R"({}{{"allow":{},"target":"{}","path":"{}"}})", rules.empty() ? "" : ",",
                         line.starts_with("allow"), line.substr(space + 1, path - space - 1),
                         path == std::string::npos ? "" : line.substr(path + 1));
  }
  return parse_settings(
             fmt::format(R"({{"version":1,"sandbox":"x","container":"{}","default":"{}","layers":[)"
                         R"({{"name":"user","rules":[{}]}}],"credentials":[{}]}})",
                         std::string(64, 'a'), otherwise ? "allow" : "deny", rules,
                         credential.empty()
                             ? ""
                             : fmt::format(R"({{"name":"c","hosts":["{}"],"headers":[)"
                                           R"({{"name":"x-key","format":"{{}}"}}]}})",
                                           credential)),
             std::make_shared<Values>())
      .value();
}

std::string way_of(const Judgement& judgement) {
  const std::string way = judgement.way == Way::deny   ? "deny"
                          : judgement.way == Way::pass ? "pass"
                                                       : "open";
  return judgement.name.empty() ? way : way + " " + judgement.name;
}

struct TlsCase {
  std::vector<std::string> rules;
  bool otherwise;
  std::vector<std::string> pinned;
  std::string name;
  bool hidden;
  std::string expected;
};

TEST(JudgeTls, DecidesByTheNameThatIsPinnedToTheAddress) {
  const std::vector<TlsCase> cases{
      {{"allow a.test"}, false, {"a.test"}, "a.test", false, "pass a.test"},
      {{"allow a.test"}, false, {}, "a.test", false, "deny a.test"},
      {{"allow a.test"}, false, {"a.test"}, "b.test", false, "deny b.test"},
      {{"allow a.test"}, false, {"a.test"}, "", false, "deny"},
      {{"allow a.test"}, false, {"a.test"}, "a.test", true, "deny a.test"},
      {{"allow a.test:80"}, false, {"a.test"}, "a.test", false, "deny a.test"},
      {{"allow a.test /x"}, false, {"a.test"}, "a.test", false, "open a.test"},
      {{"allow a.test /x"}, false, {"a.test"}, "", false, "deny"},
      // The address is allowed: the name need not be known, but what is said counts.
      {{"allow 93.184.216.1"}, false, {}, "b.test", false, "pass b.test"},
      {{"allow 93.184.216.1"}, false, {}, "", false, "pass"},
      {{"allow 93.184.216.1"}, false, {}, "b.test", true, "pass"},
      {{"allow 93.184.216.1", "deny b.test"}, false, {}, "b.test", false, "deny b.test"},
      {{"allow 93.184.216.1", "deny b.test"}, false, {}, "b.test", true, "deny b.test"},
      {{"allow 93.184.216.1", "allow b.test /x"}, false, {}, "b.test", false, "deny b.test"},
      {{"allow 93.184.216.1", "allow b.test /x"},
       false,
       {"b.test"},
       "c.test",
       false,
       "deny c.test"},
      {{"allow 93.184.216.1", "allow b.test /x"}, false, {"b.test"}, "", false, "deny b.test"},
      {{"deny 93.184.216.0/24", "allow a.test"}, false, {"a.test"}, "a.test", false, "deny a.test"},
      // Everything is allowed but what rules deny.
      {{"deny b.test"}, true, {}, "a.test", false, "pass a.test"},
      {{"deny b.test"}, true, {}, "b.test", false, "deny b.test"},
      {{"deny b.test"}, true, {}, "", false, "pass"},
      {{"allow b.test /x"}, true, {"b.test"}, "a.test", false, "deny a.test"},
  };
  for (const TlsCase& one : cases) {
    const Settings settings = settings_of(one.rules, one.otherwise);
    const Approach approach{.address = kOne, .port = 443, .names = one.pinned};
    ClientHello hello;
    hello.server_name = one.name;
    hello.encrypted_name = one.hidden;
    EXPECT_EQ(way_of(judge_tls(settings, approach, hello)), one.expected)
        << testing::PrintToString(one.rules) << " " << one.name;
  }
}

TEST(JudgeRaw, DecidesByTheAddressOrAnyNameOfIt) {
  const auto way = [](const std::vector<std::string>& rules, std::vector<std::string> names,
                      bool otherwise = false, const std::string& credential = {},
                      bool server_first = true) {
    const Settings settings = settings_of(rules, otherwise, credential);
    const Approach approach{.address = kOne, .port = 22, .names = std::move(names)};
    return way_of(judge_raw(settings, approach, server_first));
  };
  EXPECT_EQ(way({"allow a.test:22"}, {"a.test"}), "pass a.test");
  EXPECT_EQ(way({"allow a.test:22"}, {"b.test", "a.test"}), "pass a.test");
  EXPECT_EQ(way({"allow a.test:22"}, {}), "deny");
  EXPECT_EQ(way({"allow a.test:443"}, {"a.test"}), "deny a.test");
  EXPECT_EQ(way({"allow 93.184.216.0/24:22"}, {}), "pass");
  EXPECT_EQ(way({"allow a.test", "deny b.test:22"}, {"a.test", "b.test"}), "deny b.test");
  EXPECT_EQ(way({"allow a.test", "allow b.test /x"}, {"a.test", "b.test"}), "deny b.test");
  EXPECT_EQ(way({"allow 93.184.216.1 /x"}, {}), "deny");
  EXPECT_EQ(way({}, {}, true), "pass");
  EXPECT_EQ(way({"deny a.test"}, {"a.test"}, true), "deny a.test");
  // ssh to a host whose requests over HTTPS get a credential.
  EXPECT_EQ(way({"allow a.test"}, {"a.test"}, false, "a.test"), "pass a.test");
  EXPECT_EQ(way({"allow a.test"}, {"a.test"}, false, "a.test", false), "deny a.test");
}

TEST(StillHolds, SaysWhatAChangeOfRulesCloses) {
  const Approach approach{.address = kOne, .port = 22, .names = {}};
  Judgement judgement;
  judgement.way = Way::pass;
  judgement.name = "a.test";
  judgement.raw = true;
  EXPECT_TRUE(still_holds(settings_of({"allow a.test"}, false, "a.test"), judgement, approach));
  EXPECT_FALSE(still_holds(settings_of({"allow a.test:443"}), judgement, approach));
  EXPECT_FALSE(still_holds(settings_of({"allow a.test /x"}), judgement, approach));
  judgement.raw = false;
  EXPECT_FALSE(still_holds(settings_of({"allow a.test"}, false, "a.test"), judgement, approach));
}

TEST(WriteRecord, LeavesOutWhatIsNotThereAndEscapesTheRest) {
  DecisionRecord record;
  record.protocol = "http";
  record.host = "a.test";
  record.port = 443;
  record.method = "GET";
  record.path = "/\"\n\xff";
  record.allowed = true;
  record.credentials = {"github"};
  EXPECT_EQ(write_record(record, "web", "2026-01-01T00:00:00.000Z"),
            "{\"time\":\"2026-01-01T00:00:00.000Z\",\"sandbox\":\"web\",\"protocol\":\"http\","
            "\"verdict\":\"allow\",\"host\":\"a.test\",\"port\":443,\"method\":\"GET\","
            "\"path\":\"/\\\"\\n\xef\xbf\xbd\",\"bytes_in\":0,\"bytes_out\":0,"
            "\"credentials\":[\"github\"]}\n");
}

TEST(DecisionLog, RotatesAndKeepsFive) {
  constexpr std::uint64_t kLimit = 100'000;
  const TempDir directory;
  // Seven files' worth, in records of the largest size.
  DecisionRecord record;
  record.path = std::string(DecisionLog::kMaxText, 'x');
  record.reason = record.path;
  const std::size_t each = write_record(record, "web", "2026-01-01T00:00:00.000Z").size();
  {
    auto log = DecisionLog::create(
        sys::open_at(AT_FDCWD, directory.path(), O_RDONLY | O_DIRECTORY).value(), "web", kLimit);
    ASSERT_TRUE(log);
    for (std::size_t written = 0; written < 7 * kLimit; written += each) {
      log->write(record);
    }
    EXPECT_EQ(log->lost(), 0U);
  }
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    EXPECT_LE(entry.file_size(), kLimit);
    ++files;
  }
  EXPECT_EQ(files, 6U);
  EXPECT_TRUE(std::filesystem::exists(directory / "decisions.jsonl.5"));
  // Another process goes on where this one stopped.
  const auto before = std::filesystem::file_size(directory / "decisions.jsonl");
  auto next = DecisionLog::create(
      sys::open_at(AT_FDCWD, directory.path(), O_RDONLY | O_DIRECTORY).value(), "web");
  next->write({});
  EXPECT_GT(std::filesystem::file_size(directory / "decisions.jsonl"), before);
}

TEST(DecisionLog, FollowsNoLinkThatSomebodyPutThere) {
  const TempDir directory;
  std::filesystem::create_symlink("/etc/passwd", directory / "decisions.jsonl");
  const auto log = DecisionLog::create(
      sys::open_at(AT_FDCWD, directory.path(), O_RDONLY | O_DIRECTORY).value(), "web");
  ASSERT_FALSE(log);
  EXPECT_THAT(log.error().text(), HasSubstr("decision log: open 'decisions.jsonl'"));
}

TEST(WriteDnsComplaint, AnswersNoAnswers) {
  EXPECT_THAT(write_dns_complaint("short"), IsEmpty());
  std::string query = write_dns_query(7, {"a.test", kDnsA, kDnsInternet});
  EXPECT_EQ(write_dns_complaint(query), std::string("\0\7\x81\1\0\0\0\0\0\0\0\0", 12));
  query[2] = static_cast<char>(0x80);
  EXPECT_THAT(write_dns_complaint(query), IsEmpty());
}

}  // namespace
}  // namespace agentvm::egress
