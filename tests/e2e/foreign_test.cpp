#include <algorithm>
#include <filesystem>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;

// Bundles and callers that are not ours: what runs with runc runs here, with the same answers.
class Foreign : public Agentvm {
 protected:
  Outcome runc(const std::vector<std::string>& arguments,
               const CommandOptions& options = {}) const {
    std::vector<std::string> argv{"runc", "--root", scratch() + "/runc"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run_command(argv, options);
  }
  // A bundle whose config.json is `runc spec`'s own, edited only by sed, as people do.
  void make_runc_bundle(const Bundle& bundle, const std::string& script) const {
    std::filesystem::remove(bundle.path() + "/config.json");
    ASSERT_EQ(runc({"spec", "--bundle", bundle.path()}).status, 0);
    std::string config = read_file(bundle.path() + "/config.json");
    const auto replace = [&](const std::string& from, const std::string& to) {
      const std::size_t at = config.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      config.replace(at, from.size(), to);
    };
    replace("\"terminal\": true", "\"terminal\": false");
    replace("\"sh\"\n", "\"sh\", \"-c\", \"" + script + "\"\n");
    bundle.store_text(config);
  }
};

// Bundles as others write them; the script takes the place of their program.
enum class Maker { runc, runtime_tools, docker };

class ForeignBundle : public Foreign, public testing::WithParamInterface<Maker> {
 protected:
  void make(const Bundle& bundle, const std::string& script) const {
    switch (GetParam()) {
      case Maker::runc:
        return make_runc_bundle(bundle, script);
      case Maker::runtime_tools:
        return make_from(bundle, "runtime-tools-0.9.json", script);
      case Maker::docker:
        return make_from(bundle, "docker-20.10.json", script);
    }
  }

 private:
  // tests/e2e/data/README.md says where these come from.
  static void make_from(const Bundle& bundle, const std::string& name, const std::string& script) {
    std::string config = read_file(AGENTVM_E2E_DATA "/" + name);
    const auto replace_all = [&](const std::string& from, const std::string& to) {
      for (std::size_t at = 0; (at = config.find(from, at)) != std::string::npos; at += to.size()) {
        config.replace(at, from.size(), to);
      }
    };
    replace_all("SCRIPT", script);
    replace_all("ETC/", bundle.path() + "/etc/");
    std::filesystem::create_directory(bundle.path() + "/etc");
    for (const char* file : {"resolv.conf", "hostname", "hosts"}) {
      write_file(bundle.path() + "/etc/" + file, std::string("the engine's ") + file + "\n");
    }
    bundle.store_text(config);
  }
};

TEST_P(ForeignBundle, SaysTheSameUnderBoth) {
  const Bundle bundle({"/bin/true"});
  std::string script =
      "id; hostname; pwd; umask; grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; "
      "touch /x 2>&1; cat /etc/hosts 2>&1; for fd in /proc/1/fd/*; do echo $fd; done; env | sort; "
      "mount | grep -c ' on /dev/pts '; echo > /dev/null && echo null; exit 13";
  // Without a limit of its own a process has the host's with one and the guest's with the other.
  if (GetParam() != Maker::docker) script = "ulimit -n; ulimit -Hn; " + script;
  make(bundle, script);
  const Outcome theirs = runc({"run", "--bundle", bundle.path(), "runc-web"});
  const Outcome ours = agentvm({"run", "--bundle", bundle.path(), "web"});
  EXPECT_EQ(theirs.status, 13) << theirs.err;
  EXPECT_EQ(ours.status, 13) << ours.err;
  EXPECT_EQ(ours.out, theirs.out);
}

// The same commands in the same order: the same exit statuses, the same states.
TEST_P(ForeignBundle, AnswersCommandByCommandAsRuncDoes) {
  // One each: Docker's names a cgroup, which only one can have.
  const Bundle bundle({"/bin/true"});
  const Bundle runc_bundle({"/bin/true"});
  make(bundle, "sleep 1000");
  make(runc_bundle, "sleep 1000");
  std::string config = read_file(runc_bundle.path() + "/config.json");
  const std::size_t cgroup = config.find("agentvm-e2e-docker");
  if (cgroup != std::string::npos) config.insert(cgroup + 18, "-runc");
  runc_bundle.store_text(config);
  const std::vector<std::vector<std::string>> script{
      {"state", "web"},
      {"start", "web"},
      {"delete", "--force", "web"},
      {"create", "--bundle", "BUNDLE", "web"},
      {"create", "--bundle", "BUNDLE", "web"},
      {"start", "web"},
      {"start", "web"},
      {"exec", "web", "sh", "-c", "exit 21"},
      {"exec", "web", "/nope"},
      {"exec", "--user", "1000", "web", "sh", "-c", "exit $(id -u)"},
      {"pause", "web"},
      {"resume", "web"},
      {"delete", "web"},
      {"kill", "web", "NOSUCH"},
      {"kill", "web", "KILL"},
  };
  for (const auto& step : script) {
    std::vector<std::string> runc_step = step;
    std::ranges::replace(runc_step, "web", "runc-web");
    std::ranges::replace(runc_step, "BUNDLE", runc_bundle.path());
    std::vector<std::string> own_step = step;
    std::ranges::replace(own_step, "BUNDLE", bundle.path());
    const Outcome theirs = runc(runc_step);
    const Outcome ours = agentvm(own_step);
    EXPECT_EQ(ours.status, theirs.status)
        << testing::PrintToString(step) << "\nrunc: " << theirs.err << "\nagentvm: " << ours.err;
  }
  wait_for_status("web", "stopped");
  EXPECT_TRUE(eventually(
      [&] { return runc({"state", "runc-web"}).out.find("stopped") != std::string::npos; }));
  EXPECT_EQ(runc({"delete", "runc-web"}).status, 0);
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
}

INSTANTIATE_TEST_SUITE_P(Of, ForeignBundle,
                         testing::Values(Maker::runc, Maker::runtime_tools, Maker::docker),
                         [](const auto& maker) -> std::string {
                           switch (maker.param) {
                             case Maker::runc:
                               return "Runc";
                             case Maker::runtime_tools:
                               return "RuntimeTools";
                             case Maker::docker:
                               return "Docker";
                           }
                           return "";
                         });

TEST_F(Foreign, OurOwnSpecRunsUnderRunc) {
  const Bundle bundle({"/bin/true"});
  ASSERT_EQ(agentvm({"spec", "--bundle", bundle.path()}).status, 0);
  EXPECT_THAT(agentvm({"spec", "--bundle", bundle.path()}).err, HasSubstr("config.json exists"));
  std::string config = read_file(bundle.path() + "/config.json");
  config.replace(config.find("\"terminal\": true"), 16, "\"terminal\": false");
  bundle.store_text(config);
  EXPECT_EQ(runc({"run", "--bundle", bundle.path(), "web"}).status, 0);
  EXPECT_EQ(agentvm({"run", "--bundle", bundle.path(), "web"}).status, 0);
}

TEST_F(Foreign, FeaturesAndVersionAreWhatDockerParses) {
  EXPECT_THAT(agentvm({"--version"}).out, testing::MatchesRegex("agentvm version [0-9.]+\n"
                                                                "commit: [0-9a-z]+\n"
                                                                "spec: 1\\.2\\.[0-9]+\n"));
  EXPECT_THAT(agentvm({"features"}).out, HasSubstr("\"ociVersionMin\": \"1.0.0\""));
  EXPECT_EQ(agentvm({"check"}).status, 0);
  EXPECT_THAT(agentvm({"check"}).out, HasSubstr("accelerator"));
  EXPECT_THAT(agentvm({"config"}).out, HasSubstr("config.toml:"));
}

}  // namespace
}  // namespace agentvm::e2e
