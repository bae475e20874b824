#include "egress/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::egress {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kHead =
    R"("version":1,"sandbox":"web","container":)"
    R"("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","default":"deny")";

std::string document(std::string_view more) {
  return fmt::format("{{{}{}{}}}", kHead, more.empty() ? "" : ",", more);
}

Result<Settings> parse(std::string_view more, std::string_view values = R"({"version":1})") {
  return parse_settings(document(more), std::make_shared<Values>(parse_values(values).value()));
}

std::string error_of(const auto& result) {
  return result.has_value() ? "" : result.error().text();
}

std::string credential(std::string_view more) {
  return fmt::format(R"("credentials":[{{"name":"x"{}{}}}])", more.empty() ? "" : ",", more);
}

Peer named(std::string_view name, std::uint16_t port = 443) {
  return {name, parse_address("93.184.216.34").value(), port};
}

TEST(ParseSettings, MakesOnePolicyOfTheLayersAndTellsWhichRuleIsWhose) {
  const auto settings = parse(R"("layers":[
      {"name":"preset balanced","rules":[{"allow":true,"target":"**.npmjs.org:443"}]},
      {"name":"user","rules":[{"allow":false,"target":"evil.npmjs.org"},
                              {"allow":true,"target":"api.x.example","method":"get",
                               "path":"/repos/**"}]}])");
  ASSERT_TRUE(settings) << error_of(settings);
  EXPECT_EQ(settings->sandbox, "web");
  EXPECT_EQ(settings->policy.rules().size(), 3U);
  const Decision allowed = settings->decide_connection(named("registry.npmjs.org"));
  EXPECT_EQ(allowed.verdict, Verdict::allow);
  EXPECT_EQ(allowed.rule->layer, "preset balanced");
  const Decision denied = settings->decide_connection(named("evil.npmjs.org"));
  EXPECT_EQ(denied.verdict, Verdict::deny);
  EXPECT_EQ(denied.rule->layer, "user");
  EXPECT_EQ(settings->decide_connection(named("api.x.example")).verdict, Verdict::inspect);
}

TEST(ParseSettings, AllowsWhereNoRuleDoesOnlyWhenToldSo) {
  std::string text = document("");
  EXPECT_EQ(parse_settings(text, std::make_shared<Values>())
                ->decide_connection(named("any.example"))
                .verdict,
            Verdict::deny);
  text.replace(text.find("deny"), 4, "allow");
  EXPECT_EQ(parse_settings(text, std::make_shared<Values>())
                ->decide_connection(named("any.example"))
                .verdict,
            Verdict::allow);
}

TEST(ParseSettings, OpensTheConnectionsOfHostsThatHaveACredential) {
  const auto settings = parse(R"("layers":[{"name":"user","rules":[{"allow":true,"target":"*"},
                                   {"allow":false,"target":"b.x.example"}]}],)" +
                              credential(R"("hosts":["api.example:443","**.x.example"],"headers":[
                                   {"name":"X-Api-Key","format":"{}"},
                                   {"name":"authorization","format":"Bearer {}"},
                                   {"name":"authorization","format":"basic:x-access-token"}])"));
  ASSERT_TRUE(settings) << error_of(settings);
  EXPECT_EQ(settings->decide_connection(named("api.example")).verdict, Verdict::inspect);
  EXPECT_EQ(settings->decide_connection(named("api.example", 8443)).verdict, Verdict::allow);
  EXPECT_EQ(settings->decide_connection(named("a.x.example", 8443)).verdict, Verdict::inspect);
  EXPECT_EQ(settings->decide_connection(named("x.example")).verdict, Verdict::allow);
  EXPECT_EQ(settings->decide_connection(named("b.x.example")).verdict, Verdict::deny);
  const Credential& made = settings->credentials.at(0);
  EXPECT_EQ(made.placeholder, "proxy-managed");
  EXPECT_EQ(made.headers.at(0), (HeaderForm{"x-api-key", "", "", false}));
  EXPECT_EQ(made.headers.at(1), (HeaderForm{"authorization", "Bearer ", "", false}));
  EXPECT_EQ(made.headers.at(2), (HeaderForm{"authorization", "x-access-token:", "", true}));
  EXPECT_EQ(settings->value_of(made), nullptr);
}

TEST(ParseSettings, FindsTheValuesOfCredentialsAndOfTheUpstreamProxy) {
  const auto settings = parse(
      credential(R"("hosts":["a.example"],"headers":[{"name":"a","format":"{}"}])") +
          R"(,"upstream_proxy":"http://ignored.example:1")",
      R"({"version":1,"values":{"x":"s3cret","upstream-proxy":"http://u:p%40@10.0.0.1:3128/"}})");
  ASSERT_TRUE(settings) << error_of(settings);
  EXPECT_EQ(settings->value_of(settings->credentials[0])->reveal(), "s3cret");
  EXPECT_EQ(settings->upstream_proxy->host, "10.0.0.1");
  EXPECT_EQ(settings->upstream_proxy->port, 3128);
  EXPECT_EQ(settings->upstream_proxy->authorization.reveal(), "Basic dTpwQA==");
}

TEST(ParseSettings, NamesTheMemberThatIsWrong) {
  EXPECT_THAT(error_of(parse(R"("layer":[])")), HasSubstr("/layer: this version knows no such"));
  EXPECT_THAT(
      error_of(
          parse(R"("layers":[{"name":"a","rules":[{"allow":true,"target":"*","methd":"GET"}]}])")),
      HasSubstr("/layers/0/rules/0/methd: this version knows no such member"));
  EXPECT_THAT(
      error_of(parse(R"("layers":[{"name":"a","rules":[{"allow":true,"target":"https://x/y"}]}])")),
      HasSubstr("/layers/0/rules/0: rule 'https://x/y': it is a URL"));
  EXPECT_THAT(error_of(parse(R"("layers":[{"name":"a","rules":[{"target":"x"}]}])")),
              HasSubstr("/layers/0/rules/0/allow"));
  EXPECT_THAT(error_of(parse_settings(R"({"version":2})", nullptr)),
              HasSubstr("/version: must be 1"));
  EXPECT_THAT(error_of(parse(R"("upstream_proxy":"socks://u:hush@h:1")")),
              HasSubstr("/upstream_proxy: the upstream proxy is no URL of http://"));
  EXPECT_THAT(error_of(parse(R"("ca":{"certificate":"x"})")), HasSubstr("/ca/key"));
}

TEST(ParseSettings, RefusesTheIdentitiesThatNoRuntimeGives) {
  std::string text = document("");
  text.replace(text.find("web"), 3, "../x");
  EXPECT_THAT(error_of(parse_settings(text, nullptr)), HasSubstr("/sandbox: must be 1 to 63 of"));
  text = document("");
  text.replace(text.find("abcdef"), 6, "ABCDEF");
  EXPECT_THAT(error_of(parse_settings(text, nullptr)),
              HasSubstr("/container: must be a container"));
}

TEST(ParseSettings, RefusesCredentialsForEverybodyAndInHeadersThatFrameMessages) {
  const auto wrong = [](std::string_view host, std::string_view header, std::string_view format) {
    return error_of(parse(credential(fmt::format(
        R"("hosts":["{}"],"headers":[{{"name":"{}","format":"{}"}}])", host, header, format))));
  };
  EXPECT_THAT(wrong("*", "a", "{}"), HasSubstr("/credentials/0: '*': a credential is for hosts"));
  EXPECT_THAT(wrong("10.0.0.0/8", "a", "{}"), HasSubstr("a credential is for hosts with names"));
  EXPECT_THAT(wrong("a.example", "Host", "{}"), HasSubstr("header 'host' is no place"));
  EXPECT_THAT(wrong("a.example", "transfer-encoding", "{}"), HasSubstr("is no place"));
  EXPECT_THAT(wrong("a.example", "a:b", "{}"), HasSubstr("letters, digits, '-' and '_'"));
  EXPECT_THAT(wrong("a.example", "a", "{}{}"), HasSubstr("a format has one '{}'"));
  EXPECT_THAT(wrong("a.example", "a", "none"), HasSubstr("a format has one '{}'"));
  EXPECT_THAT(error_of(parse(credential(R"("hosts":[],"headers":[])"))),
              HasSubstr("must name a host"));
}

TEST(ParseValues, NeverQuotesAValue) {
  const auto wrong = [](std::string_view value) {
    return error_of(parse_values(fmt::format(R"({{"version":1,"values":{{"key":{}}}}})", value)));
  };
  EXPECT_THAT(wrong("12345"), HasSubstr("/values/key: must be 1 to 16384 printable"));
  EXPECT_THAT(wrong("12345"), Not(HasSubstr("12345")));
  EXPECT_THAT(wrong(R"("hush\r\nx: y")"), HasSubstr("/values/key: must be"));
  EXPECT_THAT(wrong(R"("hush\r\nx: y")"), Not(HasSubstr("hush")));
  EXPECT_THAT(wrong(R"("")"), HasSubstr("/values/key: must be"));
  EXPECT_THAT(error_of(parse_values(R"({"version":1,"vals":{}})")), HasSubstr("no other member"));
}

TEST(ParseUpstreamProxy, NeverQuotesAPassword) {
  for (const char* url : {"u:hush@h", "https://u:hush@h:1", "http://u:hush@*:1", "http://u:hush@",
                          "http://u:hu%zzsh@h", "http://u:hush@10.0.0.0/8:1"}) {
    const auto proxy = parse_upstream_proxy(url);
    ASSERT_FALSE(proxy) << url;
    EXPECT_THAT(proxy.error().text(), Not(HasSubstr("hu"))) << url;
  }
  const auto plain = parse_upstream_proxy("http://proxy.example:3128");
  EXPECT_EQ(plain.value().host, "proxy.example");
  EXPECT_TRUE(plain->authorization.empty());
}

}  // namespace
}  // namespace agentvm::egress
