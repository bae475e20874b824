// Docker under load: what comes back of each of many containers, and what they leave behind.
#include <fmt/format.h>

#include <cstdlib>

#include "tests/e2e/harness/census.h"
#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {
namespace {

using testing::IsEmpty;

// 40, or AGENTVM_TEST_LOAD, which `run-tests --soak` sets.
int containers_in_a_row() {
  const char* asked = ::getenv("AGENTVM_TEST_LOAD");
  return asked == nullptr ? 40 : std::atoi(asked);
}

class DockerLoad : public Docker {
 protected:
  // The host as it is with a container that nothing of this concerns.
  void SetUp() override {
    Docker::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_EQ(docker_run({"--detach", "--name", "beside"}, "sleep 1000000").status, 0);
    links_ = links();
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
    EXPECT_EQ(docker_out({"ps", "--all", "--format", "{{.Names}} {{.State}}"}), "beside running");
    EXPECT_TRUE(eventually([this] { return links() == links_; })) << links();
  }

 private:
  // Of the daemon's network namespace: the bridge, and the other end of each container's interface.
  [[nodiscard]] std::string links() const {
    return network_->run_inside({"sh", "-c", "ip -o link | cut -d : -f 2"}).out;
  }

  Census idle_;
  std::string links_;
};

TEST_F(DockerLoad, ContainersOneAfterTheOther) {
  for (int number = 0; number < containers_in_a_row(); ++number) {
    expect_outcome(number, docker_run({"--rm"}, script_of(number)));
    if (number % 20 == 19) expect_nothing_left();
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
