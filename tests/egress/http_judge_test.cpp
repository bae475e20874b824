// What becomes of a request: whose it is, what the policy says, which credentials it gets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "egress/http/judge.h"

namespace agentvm::egress::http {
namespace {

constexpr std::string_view kSettings = R"({
  "version": 1, "sandbox": "web", "default": "deny",
  "container": "0000000000000000000000000000000000000000000000000000000000000000",
  "layers": [{"name": "user", "rules": [
    {"allow": true, "target": "api.test"}, {"allow": true, "target": "git.test"},
    {"allow": true, "target": "keyless.test"}, {"allow": true, "target": "limited.test"},
    {"allow": true, "target": "free.test"},
    {"allow": true, "target": "some.test", "method": "GET", "path": "/ok/**"},
    {"allow": false, "target": "api.test", "path": "/admin/**"}]}],
  "credentials": [
    {"name": "api", "hosts": ["api.test"], "headers": [
      {"name": "x-api-key", "format": "{}"}, {"name": "authorization", "format": "Bearer {}"}]},
    {"name": "git", "hosts": ["git.test"], "headers": [
      {"name": "authorization", "format": "basic:x-access-token"}]},
    {"name": "keyless", "hosts": ["keyless.test"], "headers": [
      {"name": "x-api-key", "format": "{}"}]},
    {"name": "limited", "hosts": ["limited.test"], "method": "GET", "path": "/read/**",
     "headers": [{"name": "x-api-key", "format": "{}"}]}]
})";
constexpr std::string_view kValues =
    R"({"version": 1, "values": {"api": "api-secret", "git": "git-secret", "limited": "l-secret"}})";

class World final : public Surroundings {
 public:
  World() {
    auto values = std::make_shared<const Values>(parse_values(kValues).value());
    settings_ = std::make_shared<const Settings>(parse_settings(kSettings, values).value());
  }
  std::shared_ptr<const Settings> settings() override { return settings_; }
  bool is_pinned(std::string_view name, const Address& /*address*/) override {
    return name != "elsewhere.test";
  }
  Task<Socket> connect(const Destination& /*destination*/) override {
    co_return fail(ErrorKind::internal, "not asked for");
  }
  void record(const RequestRecord& /*record*/) override {}

 private:
  std::shared_ptr<const Settings> settings_;
};

struct Asked {
  std::string method = "GET";
  std::string target = "/";
  std::string host;
  std::string connection = {};  // the name that TLS said; empty: in the clear
  std::vector<Field> fields = {};
};

// "403 reason", or what is sent on: "target name: value, …".
std::string verdict(const Asked& asked) {
  World world;
  const bool over_tls = !asked.connection.empty();
  const Destination destination{asked.connection, parse_address("93.184.216.34").value(),
                                static_cast<std::uint16_t>(over_tls ? 443 : 80)};
  Fields fields;
  fields.list() = asked.fields;
  const Judgement judgement =
      judge({asked.method, asked.target, asked.host, fields}, destination, over_tls, world);
  if (judgement.refusal) {
    return std::to_string(judgement.refusal->status) + " " + judgement.refusal->reason;
  }
  std::string text = judgement.target;
  for (const Field& field : fields.list()) text += " " + field.name + "=" + field.value;
  for (const SecretField& field : judgement.injection.fields) {
    text += " " + field.name + "=" + std::string(field.value.reveal());
  }
  return text;
}

TEST(Judge, LetsARequestGoOnlyWhereItsConnectionGoes) {
  EXPECT_EQ(verdict({.target = "/a?b", .host = "free.test", .connection = "free.test"}), "/a?b");
  EXPECT_EQ(verdict({.host = "FREE.test.:443", .connection = "free.test"}), "/");
  EXPECT_EQ(verdict({.host = "api.test", .connection = "free.test"}),
            "421 the connection is for free.test, the request for api.test");
  EXPECT_EQ(verdict({.host = "free.test:8443", .connection = "free.test"}),
            "421 the connection is for port 443, the request for port 8443");
  EXPECT_EQ(verdict({.host = "93.184.216.34", .connection = "free.test"}),
            "421 the connection is for free.test, the request for 93.184.216.34");
  EXPECT_EQ(verdict({.host = "free.test:port", .connection = "free.test"}),
            "400 the port in Host is no port");
  EXPECT_THAT(verdict({.host = "a b", .connection = "free.test"}), testing::StartsWith("400 Host"));
  EXPECT_EQ(verdict({.host = "free.test"}), "/");
  EXPECT_EQ(verdict({.host = "elsewhere.test"}),
            "403 93.184.216.34 is no address of elsewhere.test that this sandbox was given");
  EXPECT_EQ(verdict({.host = "unknown.test"}), "403 no rule allows it");
  EXPECT_EQ(verdict({.host = "93.184.216.34"}), "403 no rule allows it");
}

TEST(Judge, TakesTheTargetThatAServerWouldTake) {
  const auto target = [](std::string method, std::string text) {
    return verdict({.method = std::move(method), .target = std::move(text), .host = "free.test"});
  };
  EXPECT_EQ(target("GET", "http://free.test/a?b"), "/a?b");
  EXPECT_EQ(target("GET", "http://free.test"), "/");
  EXPECT_EQ(target("GET", "http://free.test?b"), "/?b");
  EXPECT_EQ(target("GET", "http://api.test/a"), "400 the request's target and its Host differ");
  EXPECT_EQ(target("GET", "http://x@free.test/a"), "400 the request's target and its Host differ");
  EXPECT_EQ(target("GET", "ftp://free.test/a"), "400 the request's target is no path");
  EXPECT_EQ(target("CONNECT", "free.test:443"), "400 the request's target is no path");
  EXPECT_EQ(target("OPTIONS", "*"), "*");
  EXPECT_EQ(target("GET", "*"), "400 the target '*' is for OPTIONS alone");
}

TEST(Judge, AsksThePolicyAboutEachRequest) {
  const auto some = [](std::string method, std::string target) {
    return verdict({.method = std::move(method),
                    .target = std::move(target),
                    .host = "some.test",
                    .connection = "some.test"});
  };
  EXPECT_EQ(some("GET", "/ok/a"), "/ok/a");
  EXPECT_EQ(some("POST", "/ok/a"),
            "403 rules allow other requests to this host, and none this one");
  EXPECT_EQ(some("GET", "/ok/../a"), "403 servers differ about what this path means");
  EXPECT_EQ(verdict({.target = "/admin/x", .host = "api.test", .connection = "api.test"}),
            "403 rule 'deny api.test /admin/**'");
}

TEST(Judge, PutsCredentialsInPlaceOfWhatTheGuestHolds) {
  const auto api = [](std::vector<Field> fields) {
    return verdict({.host = "api.test", .connection = "api.test", .fields = std::move(fields)});
  };
  EXPECT_EQ(api({{"X-Api-Key", "proxy-managed"}}), "/ x-api-key=api-secret");
  EXPECT_EQ(api({{"x-api-key", "a key of its own"}}), "/ x-api-key=api-secret");
  EXPECT_EQ(api({{"x-api-key", "one"}, {"X-API-KEY", "two"}}), "/ x-api-key=api-secret");
  EXPECT_EQ(api({{"Authorization", "Bearer proxy-managed"}}), "/ authorization=Bearer api-secret");
  EXPECT_EQ(api({{"authorization", "foreign"}, {"x-api-key", "foreign"}, {"a", "b"}}),
            "/ a=b x-api-key=api-secret");
  EXPECT_EQ(api({}), "/ x-api-key=api-secret");
  EXPECT_EQ(verdict({.host = "git.test", .connection = "git.test"}),
            "/ authorization=Basic eC1hY2Nlc3MtdG9rZW46Z2l0LXNlY3JldA==");
  // Elsewhere a placeholder is text.
  EXPECT_EQ(verdict({.host = "free.test",
                     .connection = "free.test",
                     .fields = {{"x-api-key", "proxy-managed"}}}),
            "/ x-api-key=proxy-managed");
}

TEST(Judge, ForwardsNoKeyWhereItHasNone) {
  const std::vector<Field> key = {{"x-api-key", "proxy-managed"}};
  EXPECT_EQ(verdict({.host = "keyless.test", .connection = "keyless.test", .fields = key}),
            "403 credential 'keyless' of keyless.test: no value is known; on the host: agentvm "
            "sandbox secret set keyless");
  EXPECT_EQ(verdict({.host = "keyless.test", .connection = "keyless.test"}), "/");
  EXPECT_EQ(verdict({.target = "/read/a", .host = "limited.test", .connection = "limited.test"}),
            "/read/a x-api-key=l-secret");
  EXPECT_EQ(verdict({.target = "/write", .host = "limited.test", .connection = "limited.test"}),
            "/write");
  EXPECT_EQ(verdict({.target = "/write",
                     .host = "limited.test",
                     .connection = "limited.test",
                     .fields = key}),
            "403 credential 'limited' of limited.test: it is for other requests, and a key of the "
            "sandbox's own is not sent there");
  // In the clear nothing is put in, and nothing of the guest's goes there.
  EXPECT_EQ(verdict({.host = "api.test", .fields = key}),
            "403 credential 'api' of api.test: it travels over TLS alone; use https");
  EXPECT_EQ(verdict({.host = "api.test"}), "/");
}

TEST(Scrub, TakesValuesOutOfAnswersInEveryForm) {
  World world;
  Fields request;
  const Destination git{"git.test", {}, 443};
  const Injection injection = inject(*world.settings(), {git, true, "GET", "/"}, request).value();
  Fields answer;
  answer.add("X-Echo", "git-secret, git-secret and Basic eC1hY2Nlc3MtdG9rZW46Z2l0LXNlY3JldA==");
  answer.add("X-Other", "git-secre");
  scrub(injection, answer);
  EXPECT_EQ(*answer.find("x-echo"), "proxy-managed, proxy-managed and Basic proxy-managed");
  EXPECT_EQ(*answer.find("x-other"), "git-secre");
}

TEST(Refusal, IsTextOrJsonAsTheGuestAsks) {
  World world;
  Fields fields;
  const Destination destination{"some.test", parse_address("93.184.216.34").value(), 443};
  const Judgement judgement =
      judge({"PUT", "/a?secret", "some.test", fields}, destination, true, world);
  ASSERT_TRUE(judgement.refusal);
  EXPECT_EQ(describe(*judgement.refusal, fields).text,
            "agentvm: the request to some.test was refused: rules allow other requests to this "
            "host, and none this one\nto allow it, on the host: agentvm sandbox policy allow "
            "--sandbox web some.test:443 --method PUT --path /a\n");
  fields.add("Accept", "application/json");
  EXPECT_EQ(describe(*judgement.refusal, fields).text,
            R"({"error":"agentvm: the request to some.test was refused: rules allow other )"
            R"(requests to this host, and none this one","host":"some.test","rule":"","reason":)"
            R"("rules allow other requests to this host, and none this one","how_to_allow":)"
            R"("agentvm sandbox policy allow --sandbox web some.test:443 --method PUT --path /a"})"
            "\n");
}

}  // namespace
}  // namespace agentvm::egress::http
