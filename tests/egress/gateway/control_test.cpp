// The control socket, updates under load, and what the process may still do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "oci/base/json_reader.h"
#include "tests/egress/gateway/world.h"

namespace agentvm::egress {
namespace {

using testing::HasSubstr;

constexpr const char* kHost = "93.184.216.34";
constexpr const char* kOther = "93.184.216.35";

#ifdef AGENTVM_SANITIZED
constexpr std::int64_t kMostKib = INT64_MAX;  // the sanitizer's own memory is not the gateway's
#else
constexpr std::int64_t kMostKib = 20 * 1024;
#endif

std::int64_t number_in(const std::string& reply, std::string_view member) {
  const auto document = JsonDocument::parse(reply);
  if (!document) return -1;
  const auto value = document->root().find(member);
  return value ? value->as_signed().value_or(-1) : -1;
}

std::vector<std::string> thousand_rules() {
  std::vector<std::string> rules;
  for (int i = 0; i < 1000; ++i) {
    rules.push_back(fmt::format("allow **.host{}.test:443{}", i, i % 3 == 0 ? " GET /a/**" : ""));
  }
  return rules;
}

class GatewayControl : public testing::Test {
 protected:
  GatewayControl() {
    world.add_address("93.184.216.34/32");
    world.add_address("93.184.216.35/32");
  }
  World world;
};

TEST_F(GatewayControl, TellsWhichRuleDecides) {
  ASSERT_EQ(world.start({.rules = {"allow good.test:443", "deny bad.test",
                                   "allow api.test GET /public/**", "allow 10.1.0.0/16"}}),
            "ready\n");
  const auto check = [&](const std::string& rest) {
    return world.control(R"({"op":"check",)" + rest + "}");
  };
  EXPECT_EQ(check(R"("host":"good.test","port":443)"),
            R"({"ok":true,"verdict":"allow","reason":"by the rule 'allow good.test:443'",)"
            R"("rule":"allow good.test:443","layer":"user"})");
  EXPECT_THAT(check(R"("host":"good.test","port":80)"),
              HasSubstr(R"("verdict":"deny","reason":"no rule allows it","rule":"")"));
  EXPECT_THAT(check(R"("host":"Good.Test")"), HasSubstr(R"("verdict":"allow")"));
  EXPECT_THAT(check(R"("host":"bad.test")"), HasSubstr(R"("rule":"deny bad.test")"));
  EXPECT_THAT(check(R"("host":"api.test","port":443)"), HasSubstr(R"("verdict":"inspect")"));
  EXPECT_THAT(check(R"("host":"api.test","port":443,"method":"GET","path":"/public/x")"),
              HasSubstr(R"("rule":"allow api.test GET /public/**")"));
  EXPECT_THAT(check(R"("host":"api.test","port":443,"method":"GET","path":"/private")"),
              HasSubstr(R"("verdict":"deny")"));
  EXPECT_THAT(check(R"("host":"10.1.2.3","port":22)"), HasSubstr(R"("verdict":"allow")"));
  EXPECT_THAT(check(R"("host":"10.2.2.3","port":22)"), HasSubstr("(private), and no rule names"));
  EXPECT_THAT(check(R"("host":"a b")"), HasSubstr(R"("ok":false,"error":"host name 'a b')"));
}

TEST_F(GatewayControl, RefusesUpdatesThatAreWrongAndKeepsWhatItHas) {
  ASSERT_EQ(world.start({.rules = {"allow good.test"}}), "ready\n");
  EXPECT_THAT(world.update({.rules = {"allow https://x/"}}),
              HasSubstr(R"({"ok":false,"error":"/layers/0/rules/0: rule 'https://x/')"));
  EXPECT_THAT(world.control("{"), HasSubstr(R"("ok":false)"));
  EXPECT_THAT(world.control("[]"), HasSubstr(R"("ok":false)"));
  EXPECT_THAT(world.control(R"({"op":"fly"})"), HasSubstr("expected one of update, check, status"));
  EXPECT_THAT(world.control(R"({"op":"update"})"), HasSubstr("an update without settings"));
  std::string other = World::settings({});
  other.replace(other.find("\"test\""), 6, "\"else\"");
  EXPECT_THAT(world.control(R"({"op":"update","settings":)" + other + "}"),
              HasSubstr("these settings are for sandbox 'else'"));
  EXPECT_THAT(world.update({.more = R"("ca":{"certificate":"x","key":"y"})"}),
              HasSubstr("authority changes only when it is restarted"));
  EXPECT_THAT(world.control(R"({"op":"check","host":"good.test"})"), HasSubstr("allow good.test"));
  EXPECT_THAT(world.control(R"({"op":"status"})"), HasSubstr(R"("rules":1,"updates":0)"));
}

TEST_F(GatewayControl, SaysWhyItDoesNotServe) {
  EXPECT_THAT(
      world.start({.rules = {"allow https://x/"}}),
      testing::StartsWith("gateway: settings: /layers/0/rules/0: rule 'https://x/': it is"));
  EXPECT_THAT(world.start({.values = R"({"version":1,"values":{"x":5}})"}),
              testing::StartsWith("gateway: values: /values/x: must be 1 to 16384 printable"));
  EXPECT_THAT(world.start({.more = R"("ca":{"certificate":"x","key":"y"})"}),
              testing::StartsWith("gateway: the sandbox's authority: "));
}

// One gateway under load: 1,000 rules, 200 connections, and a policy that changes meanwhile.
TEST_F(GatewayControl, ServesManyAndClosesOnUpdateWhatIsDeniedNow) {
  constexpr std::size_t kEach = 100;
  const EchoServer good(world.outside(), kHost, 7000);
  const EchoServer other(world.outside(), kOther, 7000);
  World::Options options{.rules = thousand_rules()};
  options.rules.insert(options.rules.end(), {"allow 93.184.216.34", "allow 93.184.216.35"});
  ASSERT_EQ(world.start(options), "ready\n");
  std::vector<GuestSocket> kept;
  std::vector<GuestSocket> cut;
  const std::string piece(100'000, 'x');
  for (std::size_t i = 0; i < kEach; ++i) {
    kept.push_back(world.connect(kHost, 7000));
    cut.push_back(world.connect(kOther, 7000));
    kept.back().send(piece);
    cut.back().send(piece);
  }
  for (std::size_t i = 0; i < kEach; ++i) {
    ASSERT_EQ(kept[i].receive(piece.size()).size(), piece.size());
    ASSERT_EQ(cut[i].receive(piece.size()).size(), piece.size());
  }
  const std::string before = world.control(R"({"op":"status"})");
  EXPECT_EQ(number_in(before, "connections"), 200) << before;
  EXPECT_LE(number_in(before, "peak_memory_kib"), kMostKib) << before;
  std::atomic<bool> over = false;
  std::thread load([&] {
    while (!over) {
      kept[0].send(piece);
      if (kept[0].receive(piece.size()).size() != piece.size()) break;
    }
  });
  options.rules.back() = "deny 93.184.216.35";
  const std::string updated = world.update(options);
  over = true;
  load.join();
  EXPECT_EQ(number_in(updated, "closed"), 100) << updated;
  EXPECT_EQ(number_in(updated, "rules"), 1002) << updated;
  for (const GuestSocket& socket : cut) EXPECT_EQ(socket.rest(), "<reset>");
  EXPECT_EQ(world.connect(kOther, 7000).rest(), "<reset>");
  for (const GuestSocket& socket : kept) {
    socket.send("still");
    ASSERT_EQ(socket.receive(5), "still");
  }
  EXPECT_THAT(world.log(), HasSubstr(R"("reason":"the policy has changed")"));
  for (int i = 0; i < 20; ++i) EXPECT_THAT(world.update(options), HasSubstr(R"("ok":true)"));
  const std::string after = world.control(R"({"op":"status"})");
  EXPECT_EQ(number_in(after, "connections"), 100) << after;
  EXPECT_LE(number_in(after, "peak_memory_kib"), kMostKib) << after;
}

TEST_F(GatewayControl, HasNothingLeftThatItDoesNotNeed) {
  ASSERT_EQ(world.start({}), "ready\n");
  std::ifstream file(fmt::format("/proc/{}/status", world.pid()));
  std::stringstream status;
  status << file.rdbuf();
  for (const char* line :
       {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
        "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Threads:\t1"}) {
    EXPECT_THAT(status.str(), HasSubstr(line));
  }
}

}  // namespace
}  // namespace agentvm::egress
