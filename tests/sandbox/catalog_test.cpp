// Agents, services and presets: the shipped files, and how wrong ones are refused.
#include "sandbox/catalog/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "egress/rule.h"
#include "sandbox/catalog/toml_reader.h"

namespace agentvm::sandbox {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;

Catalog shipped() {
  return Catalog({AGENTVM_SOURCE_DIR "/sandbox"});
}

std::string error_of(const auto& result) {
  return result ? "" : result.error().text();
}

TEST(Catalog, HasTheAgentsOfTheDocumentationAndEachOfItsServices) {
  const Catalog catalog = shipped();
  EXPECT_THAT(catalog.names("agents"),
              ElementsAre("claude", "codex", "copilot", "gemini", "kiro", "opencode", "shell"));
  for (const std::string& name : catalog.names("agents")) {
    const auto agent = catalog.agent(name);
    ASSERT_TRUE(agent) << error_of(agent);
    EXPECT_EQ(agent->image, "agentvm/" + name);
    EXPECT_FALSE(agent->description.empty()) << name;
    for (const auto& list : {agent->credentials, agent->optional_credentials}) {
      for (const std::string& service : list) {
        EXPECT_TRUE(catalog.service(service)) << name << ": " << error_of(catalog.service(service));
      }
    }
  }
}

TEST(Catalog, StartsAgentsUnattended) {
  const Catalog catalog = shipped();
  EXPECT_THAT(catalog.agent("claude")->command, Contains("--dangerously-skip-permissions"));
  EXPECT_THAT(catalog.agent("codex")->command,
              Contains("--dangerously-bypass-approvals-and-sandbox"));
  EXPECT_THAT(catalog.agent("gemini")->command, Contains("--yolo"));
  EXPECT_THAT(catalog.agent("copilot")->command, Contains("--yolo"));
  EXPECT_THAT(catalog.agent("kiro")->command, Contains("--trust-all-tools"));
}

TEST(Catalog, FindsAnAgentByItsOtherName) {
  const auto agent = shipped().agent("claude-code");
  ASSERT_TRUE(agent) << error_of(agent);
  EXPECT_EQ(agent->name, "claude");
}

TEST(Catalog, NamesWhatThereIsWhenItHasNoSuchAgent) {
  EXPECT_EQ(error_of(shipped().agent("clod")),
            "there is no 'clod' among the agents: claude, codex, copilot, gemini, kiro, opencode, "
            "shell");
  EXPECT_THAT(error_of(shipped().agent("../claude")), HasSubstr("there is no '../claude'"));
}

TEST(Catalog, EveryServiceSaysWhereItsValueGoes) {
  const Catalog catalog = shipped();
  EXPECT_THAT(catalog.names("services"),
              IsSupersetOf({"anthropic", "openai", "google", "github", "copilot", "openrouter",
                            "groq", "mistral", "xai", "cursor"}));
  for (const std::string& name : catalog.names("services")) {
    const auto service = catalog.service(name);
    ASSERT_TRUE(service) << error_of(service);
    EXPECT_FALSE(service->headers.empty()) << name;
    for (const std::string& host : service->hosts) {
      // Without a port, ssh to the host would be opened for a header that it has not.
      EXPECT_THAT(host, testing::EndsWith(":443")) << name;
    }
  }
}

TEST(Catalog, EveryPresetDeniesMetadata) {
  const Catalog catalog = shipped();
  EXPECT_THAT(catalog.names("presets"), ElementsAre("allow-all", "balanced", "deny-all"));
  for (const std::string& name : catalog.names("presets")) {
    const auto preset = catalog.preset(name);
    ASSERT_TRUE(preset) << error_of(preset);
    for (const char* host : {"metadata.google.internal", "metadata.azure.com", "169.254.169.254"}) {
      EXPECT_THAT(preset->rules, Contains(RuleText{false, host, "", ""})) << name;
    }
  }
  EXPECT_TRUE(catalog.preset("allow-all")->allows);
  EXPECT_FALSE(catalog.preset("balanced")->allows);
  EXPECT_FALSE(catalog.preset("deny-all")->agent_hosts);
}

struct Wrong {
  const char* text;
  const char* error;
};

TEST(ParseAgent, RefusesWhatIsWrongAndSaysWhere) {
  const Wrong table[] = {
      {"", "a.toml:1:1: 'image' is missing"},
      {"image = 'x'\n", "a.toml:1:1: 'command' is missing"},
      {"image = 1\ncommand = ['c']\n", "a.toml:1:1: image: expected a string, not an integer"},
      {"image = 'x'\ncommand = 'c'\n",
       "a.toml:2:1: command: expected a list of strings, not a string"},
      {"image = 'x'\ncommand = ['c', 1]\n",
       "a.toml:2:17: command: expected a string, not an integer"},
      {"image = 'x'\ncommand = []\n", "a.toml:2:1: command: must not be empty"},
      {"image = 'x'\ncommand = ['c']\nimages = 'y'\n", "a.toml:3:1: unknown key 'images'"},
      {"image = 'x'\ncommand = ['c']\n[environment]\n'A B' = 'x'\n",
       "a.toml:3:2: environment: 'A B' is no name of an environment variable"},
      {"image = 'x'\ncommand = ['c']\n[environment]\nAGENTVM_SANDBOX = 'x'\n",
       "a.toml:3:2: environment: AGENTVM_SANDBOX is reserved"},
      {"image = 'x'\ncommand = ['c']\n[files]\n'x/../y' = ''\n",
       "a.toml:3:2: files: 'x/../y' is no path that begins with / or ~/"},
      {"image = 'x'\ncommand = ['c'\n", "a.toml:2:16: "},
  };
  for (const auto& [text, error] : table) {
    EXPECT_THAT(error_of(parse_agent(text, "a.toml")), HasSubstr(error)) << text;
  }
  const auto host = parse_agent("image = 'x'\ncommand = ['c']\nhosts = ['https://x']\n", "a.toml");
  EXPECT_THAT(error_of(host), testing::StartsWith("a.toml:3:1: hosts: "));
}

TEST(ParseAgent, RefusesWhatIsTooLargeOrTooDeep) {
  EXPECT_THAT(error_of(parse_agent(std::string(70'000, '#'), "a.toml")),
              HasSubstr("more than 65536 bytes"));
  EXPECT_THAT(error_of(parse_agent("x = '" + std::string(5'000, 'x') + "'", "a.toml")),
              HasSubstr("the line is longer than 4096 bytes"));
  EXPECT_THAT(error_of(parse_agent("x = " + std::string(300, '['), "a.toml")),
              HasSubstr("more than 256 brackets"));
}

TEST(ParseService, WantsAHeader) {
  EXPECT_EQ(error_of(parse_service("environment = ['X']\nhosts = ['x.com']\n", "s.toml")),
            "s.toml:1:1: header: must be there: where the value goes");
}

TEST(ParsePreset, ReadsRulesWithMethodsAndPaths) {
  const auto preset = parse_preset(
      "default = 'deny'\nallow = ['a.com']\n[[rule]]\ntarget = 'b.com'\nmethod = 'GET'\npath = "
      "'/x/**'\n",
      "/x/mine.toml");
  ASSERT_TRUE(preset) << error_of(preset);
  EXPECT_EQ(preset->name, "mine");
  EXPECT_THAT(preset->rules, ElementsAre(RuleText{true, "a.com", "", ""},
                                         RuleText{true, "b.com", "GET", "/x/**"}));
  EXPECT_EQ(error_of(parse_preset("default = 'maybe'\n", "p.toml")),
            "p.toml:1:1: default: expected \"allow\" or \"deny\", not \"maybe\"");
}

}  // namespace
}  // namespace agentvm::sandbox
