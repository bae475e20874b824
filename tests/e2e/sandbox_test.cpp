// `agentvm sandbox` as its users type it, with a dockerd of the test's own: a sandbox's life, its
// terminal, its stores.
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "tests/e2e/harness/sandboxes.h"

namespace agentvm::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

using SandboxLife = Sandboxes;

TEST_F(SandboxLife, FromRunToRemove) {
  write_file(workspace() + "/of-the-host", "from the host\n");
  EXPECT_EQ(run_detached("web", {"sh", "-c", "echo up; exec sleep 1000"}), "web\n");
  // The workspace at its own path, both ways; the command's status; the sandbox's environment.
  EXPECT_EQ(exec_out("web", "pwd; cat of-the-host; echo from inside >of-the-guest"),
            workspace() + "\nfrom the host\n");
  EXPECT_EQ(read_file(workspace() + "/of-the-guest"), "from inside\n");
  EXPECT_EQ(sandbox({"exec", "web", "sh", "-c", "exit 7"}).status, 7);
  CommandOptions typed;
  typed.input = "typed\n";
  EXPECT_EQ(sandbox({"exec", "-i", "-e", "X=1", "web", "sh", "-c", "cat; echo $X"}, typed).out,
            "typed\n1\n");
  EXPECT_THAT(sandbox_out({"ls", "--json"}),
              AllOf(HasSubstr("\"name\": \"web\""), HasSubstr("\"status\": \"running\""),
                    HasSubstr("\"path\": \"" + workspace() + "\"")));
  EXPECT_THAT(sandbox_out({"logs", "web"}), StartsWith("up"));
  EXPECT_THAT(sandbox_out({"stats"}), HasSubstr("web"));
  // What was changed outside of the workspace stays over a stop, and goes with reset.
  exec_out("web", "echo kept >/kept");
  EXPECT_EQ(sandbox_out({"stop", "--time", "0", "web"}), "web\n");
  EXPECT_EQ(sandbox({"exec", "web", "true"}).err,
            "agentvm sandbox: sandbox 'web' does not run: `agentvm sandbox start web`\n");
  sandbox_out({"start", "web"});
  EXPECT_EQ(exec_out("web", "cat /kept"), "kept\n");
  copies_files();
  saves_an_image();
  sandbox_out({"reset", "--force", "web"});
  EXPECT_EQ(exec_out("web", "cat /kept 2>/dev/null; cat of-the-guest"), "from inside\n");
  EXPECT_EQ(sandbox({"rm", "web"}).err,
            "agentvm sandbox: sandbox 'web' runs: stop it first, or use --force\n");
  sandbox_out({"rm", "--force", "web"});
  EXPECT_EQ(sandbox_out({"ls", "-q"}), "");
  EXPECT_EQ(docker_out({"ps", "--all", "--quiet"}), "");
  EXPECT_FALSE(std::filesystem::exists(place() + "/web"));
  EXPECT_FALSE(std::filesystem::exists(run_place() + "/web"));
  EXPECT_EQ(read_file(workspace() + "/of-the-guest"), "from inside\n");
}

TEST_F(SandboxLife, InPipesAndInATerminal) {
  CommandOptions typed;
  typed.input = "typed\n";
  const std::vector<std::string> run = run_words("once");
  const auto with = [&](std::vector<std::string> words) {
    std::vector<std::string> all = run;
    all.insert(all.end(), words.begin(), words.end());
    return all;
  };
  const Outcome first = sandbox(with({"--", "sh", "-c", "cat; echo err >&2; exit 7"}), typed);
  EXPECT_EQ(first.status, 7);
  EXPECT_EQ(first.out, "typed\n");
  EXPECT_THAT(first.err, HasSubstr("err\n"));
  // The same sandbox, with what this start is to run.
  EXPECT_EQ(sandbox(reuse_words("once", {"--", "sh", "-c", "echo second"})).out, "second\n");
  EXPECT_THAT(sandbox(reuse_words("once", {"--memory", "1g"})).err,
              HasSubstr("--memory counts when one is made"));
  // A terminal, left with keys and come back to.
  CommandOptions keyboard;
  keyboard.null_input = false;
  std::vector<std::string> words = run_words("tty");
  words.insert(words.end(), {"--", "sh"});
  {
    Background terminal(in_terminal(words), keyboard);
    terminal.write("tty; stty size\n");
    EXPECT_TRUE(terminal.wait_for_output("/dev/pts/0"));
    EXPECT_TRUE(terminal.wait_for_output("33 99"));
    terminal.write("X=kept\n\x10\x11");
    EXPECT_TRUE(terminal.wait_for_output("sandbox 'tty' runs on"));
    EXPECT_EQ(terminal.wait().status, 0);
  }
  Background again(in_terminal(reuse_words("tty", {})), keyboard);
  again.write("echo $X.and exit; exit 3\n");
  EXPECT_TRUE(again.wait_for_output("kept.and"));
  EXPECT_EQ(again.wait().status, 3);
  sandbox_out({"prune", "--force"});
  EXPECT_EQ(sandbox_out({"ls", "-q"}), "");
}

TEST_F(SandboxLife, PoliciesAndSecretsAreKeptOutOfSight) {
  const auto gateway = [&] { return read_file(place() + "/web/gateway.json"); };
  CommandOptions key;
  key.environment = {"ANTHROPIC_API_KEY=sk-of-the-environment"};
  std::vector<std::string> create{"create",    "claude",      workspace(), "--name",
                                  "web",       "--template",  "busybox",   "--network-allow",
                                  "a.example", "b.example:22"};
  const Outcome created = sandbox(create, key);
  ASSERT_EQ(created.status, 0) << created.err;
  EXPECT_THAT(created.err, AllOf(HasSubstr("allow a.example, allow b.example:22"),
                                 HasSubstr("claude's own hosts are allowed: api.anthropic.com")));
  EXPECT_EQ(sandbox_out({"policy", "check", "web", "a.example"}),
            "allow: by the rule 'allow a.example' (layer 'sandbox')\n");
  EXPECT_EQ(sandbox({"policy", "check", "web", "registry.npmjs.org"}).status, 1);
  sandbox_out({"policy", "deny", "a.example"});
  sandbox_out(
      {"policy", "allow", "--sandbox", "web", "c.example", "--method", "GET", "--path", "/x/**"});
  EXPECT_EQ(sandbox({"policy", "check", "web", "a.example"}).out,
            "deny: by the rule 'deny a.example' (layer 'user')\n");
  EXPECT_THAT(sandbox_out({"policy", "ls", "--sandbox", "web"}),
              AllOf(HasSubstr("preset deny-all"), HasSubstr("agent claude"), HasSubstr("/x/**")));
  sandbox_out({"policy", "rm", "a.example"});
  EXPECT_EQ(sandbox({"policy", "rm", "a.example"}).err,
            "agentvm sandbox: the policy of all sandboxes has no rule about 'a.example' (agentvm "
            "sandbox policy ls)\n");
  sandbox_out({"policy", "init", "balanced", "--sandbox", "web"});
  EXPECT_EQ(sandbox({"policy", "check", "web", "registry.npmjs.org"}).status, 0);
  EXPECT_THAT(sandbox({"policy", "allow", "https://x.example/y"}).err, HasSubstr("x.example"));

  // Stored before the environment's; nowhere but in the file for the gateway.
  EXPECT_THAT(read_file(run_place() + "/web/values.json"), HasSubstr("sk-of-the-environment"));
  CommandOptions stored;
  stored.input = "sk-stored\n";
  const Outcome set = sandbox({"secret", "set", "anthropic"}, stored);
  ASSERT_EQ(set.status, 0) << set.err;
  const std::string values = read_file(run_place() + "/web/values.json");
  EXPECT_THAT(values, AllOf(HasSubstr("sk-stored"), Not(HasSubstr("sk-of-the-environment"))));
  struct stat status{};
  ASSERT_EQ(::stat((run_place() + "/web/values.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  sandbox_out({"secret", "set", "mine", "--host", "api.example", "--header", "X-Key", "--env",
               "MY_KEY", "--command", "echo sk-of-a-command"});
  EXPECT_THAT(gateway(), AllOf(HasSubstr("\"X-Key\""), HasSubstr("api.example")));
  for (const std::string& place :
       {gateway(), sandbox_out({"secret", "ls"}), sandbox_out({"inspect", "web"}),
        docker_out({"inspect", "web"}), read_file(place() + "/web/guest/session"),
        read_file(place() + "/web/sandbox.json")}) {
    EXPECT_THAT(place, Not(HasSubstr("sk-"))) << place;
  }
  EXPECT_THAT(read_file(place() + "/web/guest/session"),
              AllOf(HasSubstr("export ANTHROPIC_API_KEY=proxy-managed"),
                    HasSubstr("export MY_KEY=proxy-managed")));
  sandbox_out({"secret", "rm", "anthropic", "mine"});
  EXPECT_THAT(read_file(run_place() + "/web/values.json"), Not(HasSubstr("sk-stored")));
  EXPECT_THAT(sandbox({"secret", "set", "nothing"}, stored).err,
              HasSubstr("without --host it has to be a service"));
  sandbox_out({"rm", "web"});
}

TEST_F(SandboxLife, WhatIsWrongIsSaidWithWhatToDo) {
  const auto error = [&](const std::vector<std::string>& words) {
    const Outcome outcome = sandbox(words);
    EXPECT_EQ(outcome.status, 125) << outcome.out;
    return outcome.err;
  };
  EXPECT_THAT(error({"run", "shell", "/"}), HasSubstr("'/' cannot be a workspace"));
  EXPECT_THAT(error({"run", "shell", scratch()}), HasSubstr("cannot be a workspace"));
  EXPECT_THAT(error({"run", "nobody", workspace()}), HasSubstr("there is no 'nobody'"));
  EXPECT_THAT(error({"create", "shell", workspace(), "--template", "busybox", "--runtime", "none"}),
              HasSubstr("run `agentvm install docker`"));
  EXPECT_THAT(error({"create", "shell", workspace(), "--template", "busybox", "--policy", "none"}),
              HasSubstr("there is no 'none' among the presets: allow-all, balanced, deny-all"));
  EXPECT_THAT(error({"start", "none"}), HasSubstr("there is no sandbox 'none'"));
  // Nothing is left of those.
  EXPECT_EQ(docker_out({"ps", "--all", "--quiet"}), "");
  EXPECT_EQ(sandbox_out({"ls", "-q"}), "");
  // A container of the user's that has the name.
  docker_out({"create", "--name", "taken", "busybox", "true"});
  EXPECT_THAT(error({"create", "shell", workspace(), "--template", "busybox", "--name", "taken"}),
              HasSubstr("Docker has a container 'taken' that is no sandbox"));
  docker_out({"rm", "taken"});
}

TEST_F(SandboxLife, IsReachedAsAVerbOfAgentvmAndOfDocker) {
  EXPECT_THAT(agentvm({"sandbox", "version"}).out, StartsWith("agentvm sandbox version "));
  const std::string home = scratch() + "/home";
  std::filesystem::create_directories(home + "/.docker/cli-plugins");
  std::filesystem::create_symlink(sandbox_binary(), home + "/.docker/cli-plugins/docker-sandbox");
  CommandOptions options;
  options.environment = {"HOME=" + home};
  const Outcome version = docker({"sandbox", "version"}, options);
  EXPECT_EQ(version.status, 0) << version.err;
  EXPECT_THAT(version.out, HasSubstr("Docker: 20.10"));
  EXPECT_THAT(docker({"--help"}, options).out,
              HasSubstr("Coding agents in microVMs, with a network policy (agentvm"));
}

}  // namespace
}  // namespace agentvm::e2e
