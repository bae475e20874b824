#include "egress/rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::egress {
namespace {

using testing::HasSubstr;

std::string error_of(const auto& result) {
  return result.has_value() ? "" : result.error().text();
}

TEST(ParseTarget, TellsNamesFromStarsFromNetworks) {
  EXPECT_EQ(parse_target("*").value().scope, Scope::any);
  EXPECT_EQ(parse_target("Example.com").value().name, "example.com");
  EXPECT_EQ(parse_target("*.example.com").value().scope, Scope::one_label);
  EXPECT_EQ(parse_target("**.example.com").value().scope, Scope::any_depth);
  EXPECT_EQ(parse_target("10.0.0.0/8").value().scope, Scope::network);
  EXPECT_EQ(parse_target("fd00::/8").value().scope, Scope::network);
}

TEST(ParseTarget, ReadsPortsAlsoBehindAddresses) {
  EXPECT_EQ(parse_target("example.com:22").value().port, 22);
  EXPECT_EQ(parse_target("*:443").value().port, 443);
  EXPECT_EQ(parse_target("[fd00::1]:8080").value().port, 8080);
  EXPECT_EQ(parse_target("192.0.2.1:53").value().port, 53);
  EXPECT_EQ(parse_target("fd00::1").value().port, std::nullopt);
}

TEST(ParseTarget, SaysWhatIsWrong) {
  EXPECT_EQ(error_of(parse_target("https://example.com/x")),
            "rule 'https://example.com/x': it is a URL; a rule names a host: 'example.com'");
  EXPECT_THAT(error_of(parse_target("")), HasSubstr("without a host"));
  EXPECT_THAT(error_of(parse_target("example.com:0")), HasSubstr("from 1 to 65535"));
  EXPECT_THAT(error_of(parse_target("example.com:99999")), HasSubstr("from 1 to 65535"));
  EXPECT_THAT(error_of(parse_target("[fd00::1")), HasSubstr("no ']'"));
  EXPECT_THAT(error_of(parse_target("[fd00::1]x")), HasSubstr("only ':' and a port"));
  EXPECT_THAT(error_of(parse_target("ex*mple.com")), HasSubstr("a '*' stands for whole labels"));
  EXPECT_THAT(error_of(parse_target("*.*.com")), HasSubstr("a '*' stands for whole labels"));
  EXPECT_THAT(error_of(parse_target("example.com/x")), HasSubstr("none of IPv4 or IPv6"));
  EXPECT_THAT(error_of(parse_target("300.1.2.3")), HasSubstr("none of IPv4 or IPv6"));
}

TEST(ParseRule, DescribesItselfAsItsAuthorWouldWriteIt) {
  EXPECT_EQ(parse_rule(true, "api.github.com", "get", "/repos/**").value().text,
            "allow api.github.com GET /repos/**");
  EXPECT_EQ(parse_rule(false, "*").value().text, "deny *");
}

TEST(ParseRule, RefusesMethodsAndPathsThatAreNone) {
  EXPECT_THAT(error_of(parse_rule(true, "a.example", "GE T")), HasSubstr("letters and '-'"));
  EXPECT_THAT(error_of(parse_rule(true, "a.example", "", "repos")), HasSubstr("begins with '/'"));
  EXPECT_THAT(error_of(parse_rule(true, "a.example", "", "/a/../b")), HasSubstr("'.' and '..'"));
  EXPECT_THAT(error_of(parse_rule(true, "a.example", "", "/a?b")), HasSubstr("no query"));
}

}  // namespace
}  // namespace agentvm::egress
