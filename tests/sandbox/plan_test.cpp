// What is decided before anything is done: records, requests, names, workspaces, arguments.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "oci/base/json_reader.h"
#include "sandbox/cli/plugin.h"
#include "sandbox/cli/sizes.h"
#include "sandbox/engine/container_request.h"
#include "sandbox/run_plan.h"
#include "sandbox/store/workspace.h"
#include "tests/temp_dir.h"

namespace agentvm::sandbox {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const auto& result) {
  return result ? "" : result.error().text();
}

Agent sample_agent() {
  return {.name = "claude",
          .aliases = {},
          .description = "",
          .image = "agentvm/claude",
          .command = {"claude", "--yes"},
          .credentials = {"anthropic"},
          .optional_credentials = {},
          .hosts = {"api.anthropic.com:443"},
          .environment = {},
          .files = {},
          .notices = {}};
}

constexpr HostSize kHost{8, std::uint64_t{32} << 30};

TEST(AgentCommand, AppendsFlagsAndIsReplacedByWords) {
  using Words = std::vector<std::string>;
  const Agent agent = sample_agent();
  EXPECT_EQ(agent_command(agent, std::nullopt), agent.command);
  EXPECT_EQ(agent_command(agent, Words{}), agent.command);
  EXPECT_EQ(agent_command(agent, Words{"-p", "hi"}), (Words{"claude", "--yes", "-p", "hi"}));
  EXPECT_EQ(agent_command(agent, Words{"bash", "-l"}), (Words{"bash", "-l"}));
}

TEST(PlanRecord, TakesTheAgentsImageAndTheHostsSize) {
  const auto record = plan_record({}, sample_agent(), "balanced", kHost);
  ASSERT_TRUE(record) << error_of(record);
  EXPECT_EQ(record->image, "agentvm/claude");
  EXPECT_EQ(record->cpus, 4);
  EXPECT_EQ(record->memory, std::uint64_t{4} << 30);
  EXPECT_EQ(record->preset, "balanced");
  const auto small = plan_record({}, sample_agent(), "balanced", {1, std::uint64_t{2} << 30});
  EXPECT_EQ(small->cpus, 1);
  EXPECT_EQ(small->memory, std::uint64_t{1} << 30);
}

TEST(PlanRecord, DeniesTheRestWhereHostsAreNamedAlone) {
  RunOptions options;
  options.network_allow = {"a.com", "b.com:22,c.com"};
  auto record = plan_record(options, sample_agent(), "balanced", kHost);
  ASSERT_TRUE(record) << error_of(record);
  EXPECT_EQ(record->preset, "deny-all");
  EXPECT_THAT(record->rules,
              ElementsAre(RuleText{true, "a.com", "", ""}, RuleText{true, "b.com:22", "", ""},
                          RuleText{true, "c.com", "", ""}));
  options.policy = "balanced";
  record = plan_record(options, sample_agent(), "allow-all", kHost);
  EXPECT_EQ(record->preset, "balanced");
}

TEST(PlanRecord, RefusesWhatCannotBe) {
  const auto error = [](RunOptions options) {
    return error_of(plan_record(options, sample_agent(), "balanced", kHost));
  };
  EXPECT_EQ(error({.memory = "1m"}), "--memory: a sandbox needs at least 128m");
  EXPECT_EQ(error({.memory = "much"}),
            "--memory: 'much' is no size: a number with b, k, m, g or t");
  EXPECT_EQ(error({.disk = "5m"}), "--disk: a disk for Docker has at least 1g");
  EXPECT_EQ(error({.environment = {"AGENTVM_SANDBOX=other"}}),
            "AGENTVM_SANDBOX is reserved: it names the sandbox to the runtime");
  EXPECT_THAT(error({.network_allow = {"https://x.com/"}}), HasSubstr("--network-allow: "));
  EXPECT_EQ(error({.ports = {"x"}}), "port 'x': expected [[ADDRESS:]HOST-PORT:]PORT[/udp]");
}

TEST(ParseVariable, TakesOurOwnValueForANameAlone) {
  ::setenv("AGENTVM_TEST_VARIABLE", "here", 1);
  EXPECT_EQ(*parse_variable("AGENTVM_TEST_VARIABLE"), "AGENTVM_TEST_VARIABLE=here");
  ::unsetenv("AGENTVM_TEST_VARIABLE");
  EXPECT_EQ(*parse_variable("AGENTVM_TEST_VARIABLE"), std::nullopt);
  EXPECT_EQ(*parse_variable("A="), "A=");
  EXPECT_EQ(error_of(parse_variable("=x")),
            "'' is no environment variable: expected NAME=VALUE or NAME");
}

TEST(CheckReuse, RefusesWhatCountsOnlyWhenOneIsMade) {
  Record record;
  record.name = "claude-web";
  record.agent = "claude";
  record.workspaces = {{"/work/web", false}};
  const auto error = [&](const RunOptions& options, const std::vector<Workspace>& workspaces) {
    return error_of(check_reuse(options, sample_agent(), record, workspaces));
  };
  EXPECT_EQ(error({}, record.workspaces), "");
  EXPECT_EQ(error({.name = "claude-web"}, {{"/elsewhere", false}}), "");
  EXPECT_EQ(error({}, {{"/other/web", false}}),
            "sandbox 'claude-web' is there, with other workspaces (/work/web): choose another "
            "--name");
  EXPECT_EQ(error({.memory = "4g"}, record.workspaces),
            "sandbox 'claude-web' is there already, and --memory counts when one is made: `agentvm "
            "sandbox rm claude-web` first, or choose another --name");
  EXPECT_EQ(error({.network_deny = {"*"}}, record.workspaces),
            "sandbox 'claude-web' is there already, and --network-deny counts when one is made: "
            "`agentvm sandbox policy` changes its rules, also while it runs");
  record.agent = "codex";
  EXPECT_EQ(error({}, record.workspaces),
            "sandbox 'claude-web' is one of agent 'codex': choose another --name");
}

TEST(ParsePort, IsForThisHostUnlessAnAddressIsGiven) {
  EXPECT_EQ(*parse_port("8080"), (PortMapping{"127.0.0.1", "", "8080/tcp"}));
  EXPECT_EQ(*parse_port("3000:8080/udp"), (PortMapping{"127.0.0.1", "3000", "8080/udp"}));
  EXPECT_EQ(*parse_port("0.0.0.0:3000:8080"), (PortMapping{"0.0.0.0", "3000", "8080/tcp"}));
  EXPECT_EQ(*parse_port("[::1]:3000:8080"), (PortMapping{"::1", "3000", "8080/tcp"}));
  for (const char* wrong : {"", "0", "70000", "a:80", ":::80", "80/sctp", "1:2:3:"}) {
    EXPECT_FALSE(parse_port(wrong)) << wrong;
  }
}

TEST(ContainerRequest, IsWhatDockerIsAsked) {
  Record record;
  record.name = "claude-web";
  record.agent = "claude";
  record.image = "agentvm/claude";
  record.runtime = "agentvm";
  record.workspaces = {{"/work/web", false}, {"/work/docs", true}};
  record.tty = true;
  record.cpus = 1.5;
  record.memory = 1 << 30;
  record.environment = {"A=1"};
  record.ports = {"3000:80"};
  const auto old = container_request(record, "/var/lib/x/guest", {1, 41});
  ASSERT_TRUE(old) << error_of(old);
  EXPECT_EQ(*old,
            R"({"Image":"agentvm/claude","User":"0:0",)"
            R"("Entrypoint":["/bin/sh","/run/agentvm-sandbox/enter.sh"],"Cmd":["main"],)"
            R"("WorkingDir":"/work/web","Tty":true,"OpenStdin":true,"StdinOnce":false,)"
            R"("Env":["AGENTVM_SANDBOX=claude-web","A=1"],)"
            R"("Labels":{"io.agentvm.sandbox":"claude-web","io.agentvm.sandbox.agent":"claude",)"
            R"("io.agentvm.sandbox.workspace":"/work/web"},"ExposedPorts":{"80/tcp":{}},)"
            R"("HostConfig":{"Runtime":"agentvm","Mounts":[)"
            R"({"Type":"bind","Source":"/work/web","Target":"/work/web","ReadOnly":false},)"
            R"({"Type":"bind","Source":"/work/docs","Target":"/work/docs","ReadOnly":true},)"
            R"({"Type":"bind","Source":"/var/lib/x/guest","Target":"/run/agentvm-sandbox",)"
            R"("ReadOnly":true}],"NanoCpus":1500000000,"Memory":1073741824,)"
            R"("PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"3000"}]}}})");
  const auto newer = container_request(record, "/var/lib/x/guest", {1, 43});
  EXPECT_THAT(*newer, HasSubstr(R"("Annotations":{"io.agentvm.sandbox":"claude-web"})"));
}

TEST(DefaultName, IsOfTheAgentAndTheDirectory) {
  EXPECT_EQ(default_name("claude", "/home/x/Web"), "claude-web");
  EXPECT_EQ(default_name("claude", "/home/x/My Project (2)"), "claude-my-project--2-");
  EXPECT_EQ(default_name("claude", ""), "claude");
  EXPECT_TRUE(check_sandbox_name(default_name("codex", "/x/" + std::string(200, 'a'))));
}

TEST(SandboxName, IsRefusedWithWhatItMayBe) {
  for (const char* wrong : {"", "-a", ".secrets", "A", "a/b", "a b", "ä"}) {
    EXPECT_THAT(error_of(check_sandbox_name(wrong)), HasSubstr("is no name of a sandbox")) << wrong;
  }
}

class WorkspaceTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"project", "state/x", "docker", "home/.ssh/deep", "home/work"}) {
      std::filesystem::create_directories(root_ + "/" + name);
    }
    home_ = std::getenv("HOME");
    ::setenv("HOME", (root_ + "/home").c_str(), 1);
    hidden_ = protected_directories({root_ + "/state", root_ + "/run"}, root_ + "/docker/d.sock");
  }
  void TearDown() override { ::setenv("HOME", home_.c_str(), 1); }

  std::string refusal(const std::string& path) { return error_of(parse_workspace(path, hidden_)); }

  TempDir directory_;
  std::string root_ = std::filesystem::canonical(directory_.path()).string();
  std::string home_;
  Protected hidden_;
};

TEST_F(WorkspaceTest, IsADirectoryAtItsOwnPlace) {
  EXPECT_EQ(*parse_workspace(root_ + "/project", hidden_), (Workspace{root_ + "/project", false}));
  EXPECT_EQ(*parse_workspace(root_ + "/home/work:ro", hidden_),
            (Workspace{root_ + "/home/work", true}));
  std::filesystem::create_directory_symlink(root_ + "/project", root_ + "/link");
  EXPECT_EQ(parse_workspace(root_ + "/link", hidden_)->path, root_ + "/project");
}

TEST_F(WorkspaceTest, IsRefusedWhereItWouldShowTooMuch) {
  EXPECT_EQ(refusal("/"),
            "'/' cannot be a workspace: '/home' is in it; name a project's directory");
  EXPECT_THAT(refusal("/home"), HasSubstr("the sandbox would see too much of this host"));
  EXPECT_THAT(refusal("/etc"), HasSubstr("it is the host's own"));
  EXPECT_THAT(refusal("/proc/self"), HasSubstr("it is the host's own"));
  EXPECT_THAT(refusal(root_ + "/home"), HasSubstr("the sandbox would see too much of this host"));
  EXPECT_THAT(refusal(root_ + "/docker"), HasSubstr("the sandbox would see too much"));
  EXPECT_THAT(refusal(root_ + "/state"), HasSubstr("the sandbox would see too much"));
  EXPECT_THAT(refusal(root_), HasSubstr("is in it; name a project's directory"));
  EXPECT_EQ(refusal(root_ + "/home/.ssh/deep"),
            "'" + root_ + "/home/.ssh/deep' cannot be a workspace: it would show the keys in '" +
                root_ + "/home/.ssh'; name a project's directory");
  EXPECT_THAT(refusal(root_ + "/nothing"), HasSubstr("No such file or directory"));
}

TEST(Sizes, AreReadAsDockerReadsThem) {
  EXPECT_EQ(*parse_size("512m"), 512U << 20);
  EXPECT_EQ(*parse_size("1.5G"), 1536U << 20);
  EXPECT_EQ(*parse_size("2GiB"), std::uint64_t{2} << 30);
  EXPECT_EQ(*parse_size("7"), 7U);
  for (const char* wrong : {"", "-1", "1x", "1mm", "nan", "1e300"}) {
    EXPECT_FALSE(parse_size(wrong)) << wrong;
  }
  EXPECT_EQ(size_text(1536U << 20), "1.5 GiB");
  EXPECT_EQ(size_text(12), "12 B");
}

TEST(Plugin, TakesDockersArguments) {
  EXPECT_THAT(*plugin_words({"--host", "unix:///x", "-D", "sandbox", "ls", "--json"}),
              ElementsAre("--host", "unix:///x", "ls", "--json"));
  EXPECT_THAT(error_of(plugin_words({"--context", "far", "sandbox", "ls"})),
              HasSubstr("docker's option --context has no meaning for sandboxes"));
  EXPECT_THAT(plugin_metadata(), HasSubstr(R"("SchemaVersion":"0.1.0")"));
}

}  // namespace
}  // namespace agentvm::sandbox
