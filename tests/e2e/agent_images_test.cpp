// The images of agents: built as a user builds them, from Debian's archive and npm's registry; each
// agent's own program in a microVM; and real agents at work as sandboxes, with keys that they never
// hold. All in one test: what takes long is building.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <list>
#include <nlohmann/json.hpp>

#include "tests/e2e/harness/dockerd.h"
#include "tests/e2e/harness/search.h"
#include "tests/e2e/harness/stand_in_api.h"

namespace agentvm::e2e {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

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

constexpr const char* kPlaceholder = "proxy-managed";

// An agent as a sandbox: what it is told, and the key that only the host has.
struct Worker {
  const char* name;
  const char* command;
  const char* variable;
  const char* key;
  const char* host;
  const char* header;
  const char* before;  // the key, in that header
  const char* path;    // of its requests for a model's words
};
constexpr Worker kWorkers[] = {
    {"claude", "claude --dangerously-skip-permissions -p 'say HELLO'", "ANTHROPIC_API_KEY",
     "sk-ant-the-real-key-of-anthropic", "api.anthropic.com", "x-api-key", "", "/v1/messages"},
    {"codex",
     "codex exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox 'say HELLO'",
     "CODEX_API_KEY", "sk-the-real-key-of-openai", "api.openai.com", "authorization", "Bearer ",
     "/v1/responses"},
    {"gemini", "gemini --yolo --skip-trust --model gemini-2.5-flash -p 'say HELLO'",
     "GEMINI_API_KEY", "AIza-the-real-key-of-google", "generativelanguage.googleapis.com",
     "x-goog-api-key", "", "/v1beta/models/gemini-2.5-flash:streamGenerateContent"}};

class AgentImages : public Docker {
 protected:
  AgentImages() { in_host_network = true; }
  void SetUp() override {
    Docker::SetUp();
    if (HasFatalFailure()) return;
    configure("default_memory_mib = 1024\ndefault_vcpus = 2\n[docker]\ninside = \"found\"\n");
  }
  // The gateways believe the APIs of the world outside.
  void prepare_daemon() override {
    fs::create_directory(scratch() + "/api");
    std::vector<std::string> names;
    for (const Worker& worker : kWorkers) names.emplace_back(worker.host);
    api_ = std::make_unique<StandInApi>(scratch() + "/api", names);
    daemon_wrapper = with_etc(api_->etc());
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

  void build_images() const;
  void run_each_agents_program() const;
  void write_settings(const Worker& worker, const std::string& container) const;
  void start_sandbox(const Worker& worker) const;
  void expect_key_at_server(const Worker& worker) const;
  void expect_no_key_inside(const Worker& worker) const;
  [[nodiscard]] pid_t qemu_of(const std::string& container) const;
  void let_agents_work();

  std::unique_ptr<StandInApi> api_;
};

void AgentImages::build_images() const {
  // The authorities that this host trusts: it may reach the archives through a proxy of its own.
  const Outcome built = images({"build", "--debootstrap", "--network", "host", "--ca",
                                "/etc/ssl/certs/ca-certificates.crt"});
  ASSERT_EQ(built.status, 0) << built.err;
  const Outcome listed = images({"ls"});
  EXPECT_THAT(listed.out, AllOf(HasSubstr("agentvm/claude"), HasSubstr("agentvm/kiro")));
}

void AgentImages::run_each_agents_program() const {
  // All at once: each mostly waits for one core that translates.
  std::list<Background> running;
  for (const Agent& agent : kAgents) {
    running.emplace_back(in_vm(agent.name, {agent.name, "--version"}));
  }
  for (const Agent& agent : kAgents) {
    const Outcome ran = running.front().wait(kRunTime);
    running.pop_front();
    EXPECT_EQ(ran.status, 0) << agent.name << ": " << ran.err;
    const std::string version = installed_version(agent);
    EXPECT_THAT(version, MatchesRegex("[0-9]+[.][0-9]+[.][0-9]+.*")) << agent.name;
    EXPECT_THAT(ran.out, HasSubstr(version)) << agent.name << ": " << ran.err;
  }
  // By itself: dockerd gives its containerd 15 seconds to start.
  CommandOptions patient;
  patient.timeout = kRunTime;
  const Outcome found = run_command(in_vm("shell", {"sh", "-ec", kTools}), patient);
  EXPECT_EQ(found.status, 0) << found.err;
  EXPECT_THAT(found.out, MatchesRegex("agent\nroot\nv24\n[0-9.]*\ngit version .*\nvenv\n"
                                      ".*Compose version .*\n.*/buildx .*\noverlay2\n"
                                      ".*\n.*page\n.*exited with code 0\n"));
  const Outcome kiro = run_command(in_vm("kiro", {"kiro-cli", "chat"}));
  EXPECT_EQ(kiro.status, 127);
  EXPECT_THAT(kiro.err, HasSubstr("curl -fsSL https://cli.kiro.dev/install | bash"));
}

// As `agentvm sandbox` writes it, between Docker's create and start.
void AgentImages::write_settings(const Worker& worker, const std::string& container) const {
  using nlohmann::json;
  const std::string directory = sandboxes() + "/" + worker.name;
  const std::string run_directory = sandboxes() + "-run/" + worker.name;
  fs::create_directories(run_directory);
  const json rule = {{"allow", true},
                     {"target", fmt::format("{}:443", worker.host)},
                     {"method", ""},
                     {"path", ""}};
  const json header = {{"name", worker.header}, {"format", std::string(worker.before) + "{}"}};
  const json credential = {{"name", worker.name},
                           {"hosts", json::array({worker.host})},
                           {"headers", json::array({header})},
                           {"placeholder", kPlaceholder},
                           {"method", ""},
                           {"path", ""}};
  const json layer = {{"name", "agent"}, {"rules", json::array({rule})}};
  const json authority = {{"certificate", read_file(directory + "/ca.pem")},
                          {"key", read_file(directory + "/ca.key")}};
  const json settings = {{"version", 1},
                         {"sandbox", worker.name},
                         {"container", container},
                         {"default", "deny"},
                         {"layers", json::array({layer})},
                         {"credentials", json::array({credential})},
                         {"upstream_proxy", ""},
                         {"ca", authority}};
  write_file(directory + "/gateway.json", settings.dump(), 0600);
  const json values = {{"version", 1}, {"values", {{worker.name, worker.key}}}};
  write_file(run_directory + "/values.json", values.dump(), 0600);
}

void AgentImages::start_sandbox(const Worker& worker) const {
  const std::string name = worker.name;
  const std::string directory = sandboxes() + "/" + name;
  fs::create_directories(directory);
  make_authority(directory, "ca");
  const std::string script = fmt::format(
      "mkdir work && cd work && git init -q . && {}; echo \"status $?\"; exec sleep 100000",
      worker.command);
  const std::string id = docker_out({"create",
                                     "--name",
                                     name,
                                     "--runtime",
                                     "agentvm",
                                     "--dns",
                                     "10.88.0.1",
                                     "--env",
                                     "AGENTVM_SANDBOX=" + name,
                                     "--env",
                                     fmt::format("{}={}", worker.variable, kPlaceholder),
                                     "--env",
                                     "NODE_EXTRA_CA_CERTS=/run/ca.pem",
                                     "--env",
                                     "SSL_CERT_FILE=/run/ca.pem",
                                     "--volume",
                                     directory + "/ca.pem:/run/ca.pem:ro",
                                     "agentvm/" + name,
                                     "sh",
                                     "-c",
                                     script});
  write_settings(worker, id);
  const Outcome started = docker({"start", name});
  ASSERT_EQ(started.status, 0) << started.err;
}

// Every request of the agent had the real key, and none what the guest holds instead.
void AgentImages::expect_key_at_server(const Worker& worker) const {
  bool asked = false;
  for (const StandInApi::Request& request : api_->requests()) {
    if (request.host != worker.host) continue;
    asked = asked || request.path.starts_with(worker.path);
    const auto header = request.headers.find(worker.header);
    const std::string carried = header == request.headers.end() ? "nothing" : header->second;
    EXPECT_EQ(carried, std::string(worker.before) + worker.key) << request.path;
    for (const auto& [name, value] : request.headers) {
      EXPECT_THAT(value, Not(HasSubstr(kPlaceholder))) << request.path << ": " << name;
    }
  }
  EXPECT_TRUE(asked) << worker.name << " has not asked for a model's words";
}

// What is found where something must be is looked for in the same way.
void AgentImages::expect_no_key_inside(const Worker& worker) const {
  const std::string environments =
      docker_out({"exec", "--privileged", "--user", "root", worker.name, "sh", "-c",
                  "cat /proc/[0-9]*/environ | tr '\\0' '\\n'"});
  EXPECT_THAT(environments, HasSubstr(fmt::format("{}={}", worker.variable, kPlaceholder)));
  EXPECT_THAT(environments, Not(HasSubstr(worker.key)));
  // What it has written: the container's layer, its own disk, the engine's notes of it.
  const fs::path layer =
      docker_out({"inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", worker.name});
  EXPECT_THAT(files_with(layer, "HELLO"), Not(IsEmpty())) << "no notes of its work";
  EXPECT_THAT(files_with(layer.parent_path(), worker.key), IsEmpty());
  EXPECT_THAT(files_with(scratch() + "/docker/containers", worker.key), IsEmpty());
  EXPECT_THAT(files_with(sandboxes(), worker.key), IsEmpty());
  const pid_t qemu = qemu_of(worker.name);
  EXPECT_GT(count_in_shared_memory(qemu, kPlaceholder), 0U);
  EXPECT_EQ(count_in_shared_memory(qemu, worker.key), 0U);
}

// A child of the container's stand-in.
pid_t AgentImages::qemu_of(const std::string& container) const {
  const std::string parent = docker_out({"inspect", "--format", "{{.State.Pid}}", container});
  const Outcome found = run_command({"pgrep", "--parent", parent, "qemu-system"});
  EXPECT_EQ(found.status, 0) << "no QEMU below " << parent;
  return std::atoi(found.out.c_str());
}

void AgentImages::let_agents_work() {
  stop_dockerd();
  in_host_network = false;
  start_dockerd();
  ASSERT_FALSE(HasFatalFailure());
  api_->serve(*network_);
  for (const Worker& worker : kWorkers) start_sandbox(worker);
  for (const Worker& worker : kWorkers) {
    Background logs(client({"logs", "--follow", worker.name}));
    EXPECT_TRUE(logs.wait_for_output("status ", kRunTime)) << log_of(worker.name);
    const Outcome said = docker({"logs", worker.name});
    EXPECT_THAT(said.out, AllOf(HasSubstr("heard HELLO"), HasSubstr("status 0")))
        << worker.name << ": " << said.err;
    expect_key_at_server(worker);
    expect_no_key_inside(worker);
  }
}

TEST_F(AgentImages, HaveAgentsThatRunInAMicroVmAndWorkWithKeysThatTheyNeverHold) {
  build_images();
  if (!HasFatalFailure()) run_each_agents_program();
  if (!HasFatalFailure()) let_agents_work();
}

}  // namespace
}  // namespace agentvm::e2e
