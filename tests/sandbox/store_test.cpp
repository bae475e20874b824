// What sandboxes leave on the host: documents for the gateway and the guest, secrets, the log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "egress/settings.h"
#include "oci/base/sys.h"
#include "sandbox/cli/decision_log.h"
#include "sandbox/store/authority.h"
#include "sandbox/store/control.h"
#include "sandbox/store/program.h"
#include "sandbox/store/secrets.h"
#include "sandbox/store/session_file.h"
#include "sandbox/store/values.h"
#include "tests/temp_dir.h"

namespace agentvm::sandbox {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string error_of(const auto& result) {
  return result ? "" : result.error().text();
}

class Store : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_place(place_));
    // What the machine that tests has in its environment is none of theirs.
    for (const char* name :
         {"ANTHROPIC_API_KEY", "GH_TOKEN", "GITHUB_TOKEN", "HTTPS_PROXY", "https_proxy"}) {
      ::unsetenv(name);
    }
  }

  Result<Resolved> resolve_claude() const {
    const Agent agent{.name = "claude",
                      .aliases = {},
                      .description = {},
                      .image = {},
                      .command = {},
                      .credentials = {"anthropic"},
                      .optional_credentials = {"github"},
                      .hosts = {},
                      .environment = {},
                      .files = {},
                      .notices = {}};
    return resolve(place_, catalog_, agent, "web");
  }

  static mode_t mode_of(const std::string& path) {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
  }

  TempDir directory_;
  Place place_{directory_ / "sandboxes", directory_ / "run"};
  Catalog catalog_{{AGENTVM_SOURCE_DIR "/sandbox"}};
};

Record sample_record() {
  Record record;
  record.name = "web";
  record.agent = "claude";
  record.image = "i";
  record.runtime = "agentvm";
  record.container = std::string(64, 'a');
  record.workspaces = {{"/work/it's", false}};
  record.command = {"claude", "it's"};
  record.preset = "balanced";
  record.rules = {{true, "a.com", "", ""}, {false, "b.com", "", ""}};
  return record;
}

TEST_F(Store, KeepsARecordForItsOwnerAlone) {
  const Record record = sample_record();
  ASSERT_TRUE(make_directory(place_.of("web"), 0700));
  ASSERT_TRUE(store_record(place_, record));
  EXPECT_EQ(*load_record(place_, "web"), record);
  EXPECT_EQ(mode_of(place_.of("web") + "/sandbox.json"), 0600U);
  EXPECT_EQ(mode_of(place_.directory), 0700U);
  EXPECT_THAT(*sandbox_names(place_), ElementsAre("web"));
  EXPECT_EQ(error_of(load_record(place_, "none")),
            "there is no sandbox 'none' (agentvm sandbox ls lists them)");
  ASSERT_TRUE(remove_stored(place_, "web"));
  EXPECT_THAT(*sandbox_names(place_), ElementsAre());
}

TEST_F(Store, WritesWhatTheGatewayReads) {
  const Record record = sample_record();
  const Preset preset = *catalog_.preset("balanced");
  const Agent agent = *catalog_.agent("claude");
  UserPolicy user;
  user.rules = {{true, "user.com", "GET", "/x/**"}};
  const auto layers = rule_layers(record, preset, agent, user);
  ASSERT_EQ(layers.size(), 4U);
  EXPECT_EQ(layers[1].name, "agent claude");
  const Service service = *catalog_.service("anthropic");
  const Credential credential{.name = "anthropic",
                              .environment = {},
                              .hosts = service.hosts,
                              .headers = service.headers,
                              .method = {},
                              .path = {}};
  ASSERT_TRUE(make_directory(place_.of("web"), 0700));
  const auto authority = load_authority(place_, "web");
  ASSERT_TRUE(authority) << error_of(authority);
  EXPECT_EQ(load_authority(place_, "web")->certificate, authority->certificate);
  EXPECT_EQ(mode_of(place_.of("web") + "/ca.key"), 0600U);
  EXPECT_EQ(subject_hash(authority->certificate)->size(), 8U);
  const std::string json = gateway_json(record, preset.allows, layers, {credential}, *authority);
  auto values = egress::parse_values(values_json({{"anthropic", "sk-real"}}));
  ASSERT_TRUE(values) << error_of(values);
  const auto settings =
      egress::parse_settings(json, std::make_shared<const egress::Values>(*std::move(values)));
  ASSERT_TRUE(settings) << error_of(settings);
  EXPECT_EQ(settings->sandbox, "web");
  const auto verdict = [&](std::string_view name) {
    return settings->decide_connection({.name = name, .address = std::nullopt, .port = 443})
        .verdict;
  };
  EXPECT_EQ(verdict("a.com"), egress::Verdict::allow);
  EXPECT_EQ(verdict("b.com"), egress::Verdict::deny);
  EXPECT_EQ(verdict("user.com"), egress::Verdict::inspect);
  EXPECT_EQ(verdict("api.anthropic.com"), egress::Verdict::inspect);
  EXPECT_EQ(verdict("elsewhere.com"), egress::Verdict::deny);
  EXPECT_THAT(machine_json(record), HasSubstr(R"("docker":true)"));
}

TEST_F(Store, AgentsOwnHostsAreALayerOnlyWhereTheyAreMeant) {
  Record record = sample_record();
  record.agent_hosts = false;
  const auto layers =
      rule_layers(record, *catalog_.preset("deny-all"), *catalog_.agent("claude"), {});
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_EQ(layers[1].name, "sandbox");
}

TEST_F(Store, AStoredSecretIsUsedAndNeverInAReadableFile) {
  StoredSecret secret;
  secret.name = "anthropic";
  ASSERT_TRUE(store_secret(place_, secret, "sk-stored"));
  const std::string path = place_.directory + "/.secrets/anthropic.json";
  EXPECT_EQ(mode_of(path), 0600U);
  const auto stored = load_secrets(place_);
  ASSERT_TRUE(stored) << error_of(stored);
  ASSERT_EQ(stored->size(), 1U);
  if (stored->front().kind == SecretKind::sealed) {
    EXPECT_THAT(*sys::read_file(path, 65'536), Not(HasSubstr("sk-stored")));
  }
  EXPECT_EQ(*reveal(stored->front()), "sk-stored");
  const auto resolved = resolve_claude();
  ASSERT_TRUE(resolved) << error_of(resolved);
  EXPECT_EQ(resolved->values.at("anthropic"), "sk-stored");
  EXPECT_THAT(resolved->missing, ElementsAre());
  ASSERT_TRUE(remove_secret(place_, "anthropic"));
  EXPECT_EQ(error_of(remove_secret(place_, "anthropic")), "there is no secret 'anthropic'");
  EXPECT_THAT(resolve_claude()->missing, ElementsAre("anthropic"));
}

TEST_F(Store, TheEnvironmentOfWhoRunsIsTakenAndRemembered) {
  ::setenv("ANTHROPIC_API_KEY", "sk-env", 1);
  EXPECT_EQ(resolve_claude()->values.at("anthropic"), "sk-env");
  ::unsetenv("ANTHROPIC_API_KEY");
  EXPECT_EQ(resolve_claude()->values.at("anthropic"), "sk-env");
  // In a sandbox, that is.
  ::setenv("ANTHROPIC_API_KEY", kPlaceholder, 1);
  EXPECT_EQ(resolve_claude()->values.at("anthropic"), "sk-env");
  ::setenv("ANTHROPIC_API_KEY", "two\nlines", 1);
  EXPECT_THAT(error_of(resolve_claude()), HasSubstr("environment variable ANTHROPIC_API_KEY"));
  EXPECT_THAT(error_of(resolve_claude()), Not(HasSubstr("two")));
  ::unsetenv("ANTHROPIC_API_KEY");
  EXPECT_EQ(mode_of(place_.run_of("web") + "/environment.json"), 0600U);
}

TEST_F(Store, AServiceThatIsOnlyUsefulIsManagedOnceItsValueIsKnown) {
  EXPECT_EQ(resolve_claude()->credentials.size(), 1U);
  ::setenv("GITHUB_TOKEN", "ghp", 1);
  const auto resolved = resolve_claude();
  ASSERT_EQ(resolved->credentials.size(), 2U);
  EXPECT_THAT(resolved->credentials[1].environment, ElementsAre("GH_TOKEN", "GITHUB_TOKEN"));
  ::unsetenv("GITHUB_TOKEN");
}

TEST_F(Store, TheHostsProxyIsPassedOnWhereASandboxCanReachIt) {
  ::setenv("HTTPS_PROXY", "http://127.0.0.1:3128", 1);
  const auto loopback = resolve_claude();
  EXPECT_FALSE(loopback->values.contains(kUpstreamProxy));
  EXPECT_THAT(loopback->warnings, ElementsAre(HasSubstr("names this host's loopback")));
  ::setenv("HTTPS_PROXY", "socks5://proxy.example", 1);
  EXPECT_EQ(error_of(resolve_claude()), "HTTPS_PROXY: the upstream proxy is no URL of http://");
  ::setenv("HTTPS_PROXY", "http://u:p@proxy.example:3128", 1);
  EXPECT_EQ(resolve_claude()->values.at(kUpstreamProxy), "http://u:p@proxy.example:3128");
  ::unsetenv("HTTPS_PROXY");
}

TEST_F(Store, ACommandIsAskedOnceAndAFailureIsAWarning) {
  StoredSecret secret;
  secret.name = "anthropic";
  secret.kind = SecretKind::command;
  secret.content = "echo x >>" + (directory_ / "asked") + "; echo sk-command";
  ASSERT_TRUE(store_secret(place_, secret, ""));
  EXPECT_EQ(resolve_claude()->values.at("anthropic"), "sk-command");
  EXPECT_EQ(resolve_claude()->values.at("anthropic"), "sk-command");
  EXPECT_EQ(*sys::read_file(directory_ / "asked", 100), "x\n");
  secret.name = "github";
  secret.content = "exit 3";
  ASSERT_TRUE(store_secret(place_, secret, ""));
  const auto resolved = resolve_claude();
  ASSERT_TRUE(resolved) << error_of(resolved);
  EXPECT_THAT(resolved->warnings,
              ElementsAre("secret 'github': its command 'exit 3' exited with status 3"));
}

TEST(CleanValue, IsOneLineThatAHeaderCanCarry) {
  EXPECT_EQ(*clean_value("x\r\n"), "x");
  EXPECT_EQ(error_of(clean_value("\n")), "the value is empty");
  EXPECT_THAT(error_of(clean_value("a\nb")), HasSubstr("must be one line"));
}

TEST(RunProgram, KillsWhatTakesTooLongOrSaysTooMuch) {
  EXPECT_EQ(run_program({"cat"}, "in")->output, "in");
  EXPECT_EQ(error_of(run_program({"sleep", "1000"}, "", true, std::chrono::milliseconds(50))),
            "'sleep': it takes too long");
  EXPECT_EQ(error_of(run_program({"yes"}, "")), "'yes': it prints too much");
  EXPECT_THAT(error_of(run_program({"no-such-program"}, "")), HasSubstr("run 'no-such-program'"));
}

TEST(SessionScript, IsReadByAShellAsItWasMeant) {
  Record record = sample_record();
  const Agent agent{.name = "claude",
                    .aliases = {},
                    .description = {},
                    .image = {},
                    .command = {},
                    .credentials = {},
                    .optional_credentials = {},
                    .hosts = {},
                    .environment = {{"QUOTED", "$(touch /nowhere) 'x'"}, {"GIVEN", "no"}},
                    .files = {{"~/.x", "a'b"}},
                    .notices = {"/etc/notice"}};
  const Credential credential{.name = "anthropic",
                              .environment = {"ANTHROPIC_API_KEY"},
                              .hosts = {},
                              .headers = {},
                              .method = {},
                              .path = {}};
  const TempDir directory;
  const std::string script = directory.write(
      "session", session_script(record, agent, {credential}, {1000, 100, "abcd1234"}));
  const std::string test =
      ". " + script +
      "\nsandbox_become() { printf '<%s>' \"$@\"; }\n"
      "sandbox_file() { printf '[%s %s]' \"$@\"; }\nsandbox_notice() { printf '{%s}' \"$1\"; }\n"
      "GIVEN=yes\nsandbox_environment\nsandbox_files\nsandbox_command\n"
      "printf '%s' \"$QUOTED $GIVEN $ANTHROPIC_API_KEY $sandbox_uid $sandbox_gid "
      "$sandbox_directory\"\n";
  const auto ran = run_program({"/bin/sh", "-c", test}, "", false);
  ASSERT_TRUE(ran) << error_of(ran);
  EXPECT_EQ(ran->output,
            "[~/.x a'b]{/etc/notice}<claude><it's>$(touch /nowhere) 'x' yes proxy-managed 1000 100 "
            "/work/it's");
}

TEST(Notice, TellsTheAgentWhatIsReachableAndWhoCanChangeIt) {
  const Record record = sample_record();
  const std::string text = notice_text(record, false, {{"sandbox", record.rules}},
                                       {{.name = "github",
                                         .environment = {"GH_TOKEN"},
                                         .hosts = {"github.com:443"},
                                         .headers = {},
                                         .method = {},
                                         .path = {}}});
  EXPECT_THAT(text, HasSubstr("- /work/it's\n"));
  EXPECT_THAT(text, HasSubstr("- a.com\n"));
  EXPECT_THAT(text, HasSubstr("Denied in any case:\n\n- b.com\n"));
  EXPECT_THAT(text, HasSubstr("agentvm sandbox policy allow --sandbox web HOST"));
  EXPECT_THAT(text, HasSubstr("- github (GH_TOKEN): github.com:443\n"));
}

TEST(Decision, IsPrintedSoThatItCannotSteerATerminal) {
  const auto decision = parse_decision(
      R"({"time":"2026-01-02T03:04:05.678Z","sandbox":"web","host":"a\u001b[2Jb","port":443,)"
      R"("protocol":"http","method":"GET","path":"/x","verdict":"deny","rule":"deny a",)"
      R"("credentials":["anthropic"]})");
  ASSERT_TRUE(decision) << error_of(decision);
  EXPECT_EQ(to_text(*decision),
            "2026-01-02T03:04:05.678Z deny  http a?[2Jb:443 GET /x (deny a) with anthropic");
  EXPECT_FALSE(parse_decision("{}"));
  EXPECT_FALSE(parse_decision(R"({"time":"x","verdict":"deny","port":70000})"));
}

TEST(Control, AnswersAreReadStrictly) {
  EXPECT_EQ(parse_update_answer(R"({"ok":true,"rules":5,"microseconds":7})")->rules, 5U);
  EXPECT_EQ(error_of(parse_update_answer(R"({"ok":false,"error":"/layers: more"})")),
            "the gateway refuses: /layers: more");
  EXPECT_FALSE(parse_update_answer(R"({"rules":5})"));
  EXPECT_EQ(parse_check_answer(R"({"ok":true,"verdict":"deny","reason":"x"})")->verdict, "deny");
}

TEST_F(Store, NobodyIsToldWhereNoGatewayRuns) {
  const auto answer = push_update(place_, "web", "{}", "{}");
  ASSERT_TRUE(answer) << error_of(answer);
  EXPECT_FALSE(answer->has_value());
}

}  // namespace
}  // namespace agentvm::sandbox
