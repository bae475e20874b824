#include "egress/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::egress {
namespace {

// "allow example.com", "deny api.github.com DELETE", "allow api.github.com GET /repos/**".
Policy policy_of(const std::vector<std::string>& lines, bool otherwise = false) {
  std::vector<Rule> rules;
  for (const std::string& line : lines) {
    std::array<std::string, 4> words;
    std::size_t at = 0;
    for (std::string& word : words) {
      const std::size_t end = std::min(line.find(' ', at), line.size());
      word = line.substr(at, end - at);
      at = std::min(end + 1, line.size());
    }
    rules.push_back(parse_rule(words[0] == "allow", words[1], words[2], words[3]).value());
  }
  return Policy::create(std::move(rules), otherwise).value();
}

Peer named(std::string_view name, const char* address = "93.184.216.34", std::uint16_t port = 443) {
  return {name, parse_address(address).value(), port};
}

std::string text_of(const Decision& decision) {
  std::string text = decision.verdict == Verdict::allow  ? "allow"
                     : decision.verdict == Verdict::deny ? "deny"
                                                         : "inspect";
  switch (decision.reason) {
    case Reason::rule:
      return text + " by " + decision.rule->text;
    case Reason::no_rule:
      return text;
    case Reason::no_request_rule:
      return text + ", no request rule";
    case Reason::reserved:
      return text + ", reserved";
    case Reason::unclear_path:
      return text + ", unclear path";
  }
  return "?";
}

TEST(Policy, MatchesNamesByTheirLabels) {
  const Policy policy =
      policy_of({"allow example.com", "allow *.one.example", "allow **.deep.example"});
  const auto reached = [&](std::string_view name) {
    return policy.decide_connection(named(name)).verdict == Verdict::allow;
  };
  EXPECT_TRUE(reached("example.com"));
  EXPECT_FALSE(reached("www.example.com"));
  EXPECT_FALSE(reached("badexample.com"));
  EXPECT_FALSE(reached("com"));
  EXPECT_TRUE(reached("a.one.example"));
  EXPECT_FALSE(reached("one.example"));
  EXPECT_FALSE(reached("b.a.one.example"));
  EXPECT_TRUE(reached("a.deep.example"));
  EXPECT_TRUE(reached("c.b.a.deep.example"));
  EXPECT_FALSE(reached("deep.example"));
  EXPECT_FALSE(reached("notdeep.example"));
}

TEST(Policy, DenyWinsWhereverItStands) {
  const Policy policy = policy_of({"allow **.example.com", "deny secret.example.com", "allow *"});
  EXPECT_EQ(text_of(policy.decide_connection(named("secret.example.com"))),
            "deny by deny secret.example.com");
  EXPECT_EQ(text_of(policy.decide_name("secret.example.com")), "deny by deny secret.example.com");
  EXPECT_EQ(text_of(policy.decide_connection(named("a.example.com"))),
            "allow by allow **.example.com");
  const Policy cut = policy_of({"allow example.com", "deny *"});
  EXPECT_EQ(text_of(cut.decide_connection(named("example.com"))), "deny by deny *");
}

TEST(Policy, TheDefaultHoldsWhereNoRuleDoes) {
  EXPECT_EQ(text_of(policy_of({}).decide_connection(named("example.com"))), "deny");
  EXPECT_EQ(text_of(policy_of({}, true).decide_connection(named("example.com"))), "allow");
  EXPECT_EQ(text_of(policy_of({}, true).decide_name("example.com")), "allow");
}

TEST(Policy, PortsAreTheRules) {
  const Policy policy =
      policy_of({"allow github.com:22", "deny example.com:25", "allow example.com"});
  EXPECT_EQ(policy.decide_connection(named("github.com", "140.82.121.4", 22)).verdict,
            Verdict::allow);
  EXPECT_EQ(policy.decide_connection(named("github.com", "140.82.121.4", 443)).verdict,
            Verdict::deny);
  EXPECT_EQ(policy.decide_name("github.com").verdict, Verdict::allow);
  EXPECT_EQ(policy.decide_connection(named("example.com", "93.184.216.34", 25)).verdict,
            Verdict::deny);
  EXPECT_EQ(policy.decide_name("example.com").verdict, Verdict::allow);
}

TEST(Policy, NetworksAreFoundByAnyPrefix) {
  const Policy policy =
      policy_of({"allow 203.0.114.0/24", "deny 203.0.114.128/25", "allow [2606::1]:53"});
  EXPECT_EQ(policy.decide_connection(named("", "203.0.114.1")).verdict, Verdict::allow);
  EXPECT_EQ(policy.decide_connection(named("", "203.0.114.200")).verdict, Verdict::deny);
  EXPECT_EQ(policy.decide_connection(named("", "2606::1", 53)).verdict, Verdict::allow);
  EXPECT_EQ(policy.decide_connection(named("", "2606::1", 54)).verdict, Verdict::deny);
}

TEST(Policy, ReservedAddressesNeedARuleThatNamesThem) {
  const Policy open = policy_of({"allow *", "allow **.example.com"}, true);
  for (const char* address : {"169.254.169.254", "10.0.0.1", "127.0.0.1", "::1", "fe80::1"}) {
    EXPECT_EQ(text_of(open.decide_connection(named("", address))), "deny, reserved") << address;
    EXPECT_EQ(text_of(open.decide_connection(named("a.example.com", address))), "deny, reserved");
  }
  const Policy named_one = policy_of({"allow *", "allow 10.1.0.0/16"});
  EXPECT_EQ(named_one.decide_connection(named("", "10.1.2.3")).verdict, Verdict::allow);
  EXPECT_EQ(named_one.decide_connection(named("db.example.com", "10.1.2.3")).verdict,
            Verdict::allow);
  EXPECT_EQ(text_of(named_one.decide_connection(named("", "10.2.2.3"))), "deny, reserved");
}

TEST(Policy, RequestRulesAreNotBypassedByAnAllowOfTheHost) {
  const Policy policy =
      policy_of({"allow **.github.com", "allow *", "allow api.github.com GET /repos/**"});
  const Peer api = named("api.github.com", "140.82.121.6");
  EXPECT_EQ(text_of(policy.decide_connection(api)), "inspect");
  EXPECT_EQ(text_of(policy.decide_request(api, "GET", "/repos/a/b?c=d")),
            "allow by allow api.github.com GET /repos/**");
  EXPECT_EQ(text_of(policy.decide_request(api, "POST", "/repos/a/b")), "deny, no request rule");
  EXPECT_EQ(text_of(policy.decide_request(api, "GET", "/user")), "deny, no request rule");
  EXPECT_EQ(text_of(policy.decide_request(api, "GET", "/repos/../user")), "deny, unclear path");
  const Peer other = named("uploads.github.com", "140.82.121.6");
  EXPECT_EQ(text_of(policy.decide_request(other, "POST", "/x")), "allow by allow **.github.com");
}

TEST(Policy, RequestsThatAreDeniedLeaveTheOthers) {
  const Policy policy = policy_of({"allow api.github.com", "deny api.github.com DELETE"});
  const Peer api = named("api.github.com", "140.82.121.6");
  EXPECT_EQ(text_of(policy.decide_connection(api)), "inspect");
  EXPECT_EQ(text_of(policy.decide_request(api, "DELETE", "/x")),
            "deny by deny api.github.com DELETE");
  EXPECT_EQ(text_of(policy.decide_request(api, "GET", "/x")), "allow by allow api.github.com");
  const Policy alone = policy_of({"deny api.github.com DELETE"});
  EXPECT_EQ(text_of(alone.decide_request(api, "GET", "/x")), "deny");
}

TEST(Policy, ADenyOfTheHostHoldsForItsRequests) {
  const Policy policy = policy_of({"allow api.github.com GET /**", "deny **.github.com"});
  const Peer api = named("api.github.com", "140.82.121.6");
  EXPECT_EQ(text_of(policy.decide_request(api, "GET", "/x")), "deny by deny **.github.com");
  EXPECT_EQ(text_of(policy.decide_name("api.github.com")), "deny by deny **.github.com");
}

TEST(Policy, ReservedAddressesStayClosedToRequestRules) {
  const Policy policy = policy_of({"allow api.example.com GET /**"});
  EXPECT_EQ(text_of(policy.decide_connection(named("api.example.com", "10.0.0.1"))),
            "deny, reserved");
}

TEST(Policy, HasABound) {
  const auto made = Policy::create(std::vector<Rule>(Policy::kMaxRules + 1), false);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().text(), "more than 65536 rules");
}

}  // namespace
}  // namespace agentvm::egress
