// Docker under load: what comes back of each of many containers, and what they leave behind.
#include <fmt/format.h>

#include "tests/e2e/harness/census.h"
#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class DockerLoad : public Docker {
 protected:
  // The host as it is with a dockerd that has run a container.
  void SetUp() override {
    Docker::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_EQ(docker_run({"--rm"}, "true").status, 0);
    idle_ = take_census();
  }

  [[nodiscard]] static std::string script_of(int number) {
    return fmt::format("echo out {0}; echo err {0} >&2; exit {1}", number, status_of(number));
  }
  [[nodiscard]] static int status_of(int number) { return number % 100; }

  static void expect_outcome(int number, const Outcome& outcome) {
    EXPECT_EQ(outcome.status, status_of(number)) << number << ": " << outcome.err;
    EXPECT_EQ(outcome.out, fmt::format("out {}\n", number));
    EXPECT_EQ(outcome.err, fmt::format("err {}\n", number));
  }

  void expect_nothing_left() const {
    EXPECT_THAT(left_behind(idle_), IsEmpty());
    EXPECT_EQ(docker_out({"ps", "--all", "--quiet"}), "");
    const std::string links = run_command(network_->inside({"ip", "-o", "link"})).out;
    EXPECT_THAT(links, HasSubstr("docker0"));
    EXPECT_THAT(links, Not(HasSubstr("veth"))) << links;
    EXPECT_THAT(links, Not(HasSubstr("agentvm"))) << links;
  }

 private:
  Census idle_;
};

TEST_F(DockerLoad, TwoHundredContainersOneAfterTheOther) {
  for (int number = 0; number < 200; ++number) {
    expect_outcome(number, docker_run({"--rm"}, script_of(number)));
    if (number % 50 == 49) expect_nothing_left();
    if (HasFailure()) return;
  }
}

TEST_F(DockerLoad, TenContainersAtOnce) {
  for (int round = 0; round < 4; ++round) {
    std::vector<std::unique_ptr<Background>> running;
    for (int i = 0; i < 10; ++i) {
      running.push_back(
          std::make_unique<Background>(docker_run_command({"--rm"}, script_of(10 * round + i))));
    }
    for (int i = 0; i < 10; ++i) {
      expect_outcome(10 * round + i, running[static_cast<std::size_t>(i)]->wait());
    }
    expect_nothing_left();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace agentvm::e2e
