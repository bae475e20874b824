#include "tests/e2e/harness/sandboxes.h"

#include <filesystem>
#include <sstream>

namespace agentvm::e2e {

namespace fs = std::filesystem;

void Sandboxes::prepare_daemon() {
  fs::create_directory(workspace());
}

void Sandboxes::TearDown() {
  std::istringstream names(sandbox({"ls", "-q"}).out);
  for (std::string name; std::getline(names, name);) (void)sandbox({"rm", "--force", name});
  Docker::TearDown();
}

std::string Sandboxes::sandbox_binary() {
  return AGENTVM_SANDBOX_BINARY;
}

std::vector<std::string> Sandboxes::sandbox_command(
    const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv{sandbox_binary(),
                                "--config",
                                scratch() + "/config.toml",
                                "--data",
                                AGENTVM_SANDBOX_DATA,
                                "--host",
                                "unix://" + scratch() + "/docker.sock"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

Outcome Sandboxes::sandbox(const std::vector<std::string>& arguments,
                           const CommandOptions& options) const {
  return run_command(sandbox_command(arguments), options);
}

std::string Sandboxes::sandbox_out(const std::vector<std::string>& arguments) const {
  const Outcome outcome = sandbox(arguments);
  EXPECT_EQ(outcome.status, 0) << arguments.front() << ": " << outcome.err;
  return outcome.out;
}

std::string Sandboxes::exec_out(const std::string& name, const std::string& script) const {
  return sandbox_out({"exec", name, "sh", "-c", script});
}

std::vector<std::string> Sandboxes::run_words(const std::string& name) const {
  // With what the guest's kernel needs the VM is of the size that the templates have.
  return {"run",     "shell",    workspace(), "--name", name, "--template",
          "busybox", "--memory", "384m",      "--cpus", "1"};
}

std::vector<std::string> Sandboxes::reuse_words(const std::string& name,
                                                const std::vector<std::string>& more) const {
  std::vector<std::string> words{"run", "shell", workspace(), "--name", name};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::string Sandboxes::run_detached(const std::string& name,
                                    const std::vector<std::string>& command) const {
  std::vector<std::string> words = run_words(name);
  words.insert(words.end(), {"--detach", "--"});
  words.insert(words.end(), command.begin(), command.end());
  return sandbox_out(words);
}

std::vector<std::string> Sandboxes::in_terminal(const std::vector<std::string>& arguments) const {
  std::string line = "stty rows 33 cols 99; exec";
  for (const std::string& word : sandbox_command(arguments)) line += " '" + word + "'";
  return {"script", "--quiet", "--flush", "--return", "--command", line, "/dev/null"};
}

void Sandboxes::copies_files() const {
  const std::string file = scratch() + "/copied";
  write_file(file, "copied\n");
  sandbox_out({"cp", file, "web:/new name"});
  EXPECT_EQ(exec_out("web", "cat '/new name'; mkdir /into"), "copied\n");
  sandbox_out({"cp", file, "web:/into"});
  sandbox_out({"cp", "web:/into", scratch() + "/back"});
  EXPECT_EQ(read_file(scratch() + "/back/copied"), "copied\n");
  const Outcome missing = sandbox({"cp", "web:/none", scratch()});
  EXPECT_EQ(missing.status, 125);
  EXPECT_THAT(missing.err, testing::HasSubstr("copy 'web:/none': "));
  // Links that lead out of the copy change nothing outside of it.
  exec_out("web", "mkdir /evil; ln -s " + scratch() + " /evil/out; echo x >/evil/in");
  sandbox_out({"cp", "web:/evil", scratch() + "/evil"});
  EXPECT_EQ(read_file(scratch() + "/evil/in"), "x\n");
}

void Sandboxes::saves_an_image() const {
  sandbox_out({"save", "web", "saved:mine"});
  const std::string config = docker_out({"inspect", "--format", "{{json .Config}}", "saved:mine"});
  EXPECT_THAT(config, testing::HasSubstr("\"AGENTVM_SANDBOX=\""));
  EXPECT_THAT(config, testing::Not(testing::HasSubstr("enter.sh")));
  // Of use without a sandbox, too.
  EXPECT_EQ(docker({"run", "--rm", "--runtime", "agentvm", "saved:mine", "cat", "/kept"}).out,
            "kept\n");
}

}  // namespace agentvm::e2e
