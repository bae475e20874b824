// The images of agents: built as a user builds them, from Debian's archive and npm's registry, and
// each agent's own program in a microVM. All in one test: what takes long is building.
#include <fmt/format.h>

#include <cstdlib>
#include <list>

#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

constexpr std::chrono::seconds kBuildTime{900};  // of which most is spent unpacking
constexpr std::chrono::seconds kRunTime{300};
// As the user agent: who that is, root by sudo, what a workspace needs, and a Docker of its own
// that composes two services with a network.
constexpr const char* kTools = R"(id -un; sudo id -un
node -p 'process.version.split(`.`)[0]'; npm --version
git --version
python3 -c 'import venv; print(venv.__name__)'
docker compose version; docker buildx version
docker info --format '{{.Driver}}'
mkdir -p box/bin box/www; cp /mnt/busybox box/bin; echo page >box/www/index.html
for i in sh httpd wget sleep; do ln -s busybox box/bin/$i; done
tar -C box -c . | docker import - box >/dev/null
cat >compose.yaml <<'EOF'
services:
  web: {image: box, command: httpd -f -p 80 -h /www, networks: [inner]}
  client:
    image: box
    command: sh -c 'until wget -q -O - http://web/; do sleep 1; done'
    depends_on: [web]
    networks: [inner]
networks: {inner: {}}
EOF
docker compose --ansi never up --no-log-prefix --exit-code-from client 2>/dev/null
docker compose --ansi never down --timeout 0 2>/dev/null
docker network ls --filter type=custom --quiet)";

struct Agent {
  const char* name;  // of the image, and of the program
  const char* package;
};
constexpr Agent kAgents[] = {{"claude", "@anthropic-ai/claude-code"},
                             {"codex", "@openai/codex"},
                             {"gemini", "@google/gemini-cli"},
                             {"copilot", "@github/copilot"},
                             {"opencode", "opencode-ai"}};

class AgentImages : public Docker {
 protected:
  AgentImages() { in_host_network = true; }
  void SetUp() override {
    Docker::SetUp();
    if (HasFatalFailure()) return;
    configure("default_memory_mib = 1024\ndefault_vcpus = 2\n[docker]\ninside = \"found\"\n");
  }

  Outcome images(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), AGENTVM_IMAGES);
    CommandOptions options;
    options.timeout = kBuildTime;
    options.environment = {"DOCKER_HOST=unix://" + scratch() + "/docker.sock"};
    // How this host reaches the archives.
    for (const char* name : {"http_proxy", "https_proxy", "no_proxy", "npm_config_registry"}) {
      if (const char* value = ::getenv(name)) {
        options.environment.push_back(fmt::format("{}={}", name, value));
      }
    }
    return run_command(arguments, options);
  }
  // `docker run` in a VM of its own, without a network.
  std::vector<std::string> in_vm(const std::string& image, std::vector<std::string> command) const {
    command.insert(command.begin(),
                   {"run", "--rm", "--network", "none", "--hostname", "localhost", "--volume",
                    "/bin/busybox:/mnt/busybox:ro", "--runtime", "agentvm", "agentvm/" + image});
    return client(command);
  }
  // What npm has installed, asked without a VM.
  std::string installed_version(const Agent& agent) const {
    return docker_out({"run", "--rm", "--network", "none", fmt::format("agentvm/{}", agent.name),
                       "jq", "--raw-output", ".version",
                       fmt::format("/usr/local/lib/node_modules/{}/package.json", agent.package)});
  }
};

TEST_F(AgentImages, HaveAgentsWhoseProgramsRunInAMicroVm) {
  // The authorities that this host trusts: it may reach the archives through a proxy of its own.
  const Outcome built = images({"build", "--debootstrap", "--network", "host", "--ca",
                                "/etc/ssl/certs/ca-certificates.crt"});
  ASSERT_EQ(built.status, 0) << built.err;

  // All at once: each mostly waits for one core that translates.
  std::list<Background> running;
  for (const Agent& agent : kAgents) {
    running.emplace_back(in_vm(agent.name, {agent.name, "--version"}));
  }
  Background tools(in_vm("shell", {"sh", "-ec", kTools}));
  for (const Agent& agent : kAgents) {
    const Outcome ran = running.front().wait(kRunTime);
    running.pop_front();
    EXPECT_EQ(ran.status, 0) << agent.name << ": " << ran.err;
    const std::string version = installed_version(agent);
    EXPECT_THAT(version, MatchesRegex("[0-9]+[.][0-9]+[.][0-9]+.*")) << agent.name;
    EXPECT_THAT(ran.out, HasSubstr(version)) << agent.name << ": " << ran.err;
  }
  const Outcome found = tools.wait(kRunTime);
  EXPECT_EQ(found.status, 0) << found.err;
  EXPECT_THAT(found.out, MatchesRegex("agent\nroot\nv24\n[0-9.]*\ngit version .*\nvenv\n"
                                      ".*Compose version .*\n.*/buildx .*\noverlay2\n"
                                      ".*\n.*page\n.*exited with code 0\n"));
  const Outcome kiro = run_command(in_vm("kiro", {"kiro-cli", "chat"}));
  EXPECT_EQ(kiro.status, 127);
  EXPECT_THAT(kiro.err, HasSubstr("curl -fsSL https://cli.kiro.dev/install | bash"));
  const Outcome listed = images({"ls"});
  EXPECT_THAT(listed.out, AllOf(HasSubstr("agentvm/claude"), HasSubstr("agentvm/kiro")));
}

}  // namespace
}  // namespace agentvm::e2e
