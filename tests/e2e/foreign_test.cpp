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

TEST_F(Foreign, ARuncSpecBundleSaysTheSameUnderBoth) {
  const Bundle bundle({"/bin/true"});
  make_runc_bundle(bundle,
                   "id; hostname; pwd; cat /proc/self/status | grep -E 'Cap|NoNew|Seccomp:'; "
                   "ulimit -n; touch /x 2>&1; ls /proc/1/fd | wc -l; env | sort; exit 13");
  const Outcome theirs = runc({"run", "--bundle", bundle.path(), "web"});
  const Outcome ours = agentvm({"run", "--bundle", bundle.path(), "web"});
  EXPECT_EQ(theirs.status, 13) << theirs.err;
  EXPECT_EQ(ours.status, 13) << ours.err;
  EXPECT_EQ(ours.out, theirs.out);
}

// The same commands in the same order: the same exit statuses, the same states, words that hold
// what callers match on.
TEST_F(Foreign, CommandByCommandTheStatusesAreRuncs) {
  const Bundle bundle({"/bin/true"});
  make_runc_bundle(bundle, "sleep 1000");
  const std::vector<std::vector<std::string>> script{
      {"state", "web"},
      {"start", "web"},
      {"delete", "--force", "web"},
      {"create", "--bundle", bundle.path(), "web"},
      {"create", "--bundle", bundle.path(), "web"},
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
    // Another name for runc: the cgroup is called after the container.
    std::vector<std::string> runc_step = step;
    std::ranges::replace(runc_step, "web", "runc-web");
    const Outcome theirs = runc(runc_step);
    const Outcome ours = agentvm(step);
    EXPECT_EQ(ours.status, theirs.status)
        << testing::PrintToString(step) << "\nrunc: " << theirs.err << "\nagentvm: " << ours.err;
  }
  wait_for_status("web", "stopped");
  EXPECT_TRUE(
      eventually([&] { return runc({"state", "runc-web"}).out.find("stopped") != std::string::npos; }));
  EXPECT_EQ(runc({"delete", "runc-web"}).status, 0);
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
}

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
