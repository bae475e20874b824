// CNI's plugins give a container of containerd its network: between create and start, as `ctr run
// --cni` and its like do.
#include <filesystem>

#include "tests/e2e/harness/containerd.h"
#include "tests/e2e/harness/network.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;

class Cni : public Containerd {
 protected:
  void SetUp() override {
    Containerd::SetUp();
    if (HasFatalFailure()) return;
    network_ = std::make_unique<TestNetwork>();
    std::filesystem::create_directories(scratch() + "/etc/cni/net.d");
    write_file(scratch() + "/etc/cni/net.d/10-bridge.conflist",
               R"({"cniVersion": "0.4.0", "name": "bridge", "plugins": [
                   {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
                    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.89.0.0/24"}]],
                             "routes": [{"dst": "0.0.0.0/0"}], "dataDir": ")" +
                   scratch() + R"(/cni"}}]})");
  }
  void TearDown() override {
    network_.reset();
    Containerd::TearDown();
  }
  // ctr, in the network that is the host's here, with this configuration of CNI's.
  [[nodiscard]] std::vector<std::string> with_cni(const std::vector<std::string>& words) const {
    return network_->inside(with_etc(scratch() + "/etc", words));
  }
  std::unique_ptr<TestNetwork> network_;
};

TEST_F(Cni, GivesTheGuestItsAddressAndItsWayOut) {
  const Outcome ran = run_command(with_cni(ctr_command(run_arguments(
      {"--rm", "--cni"}, "web",
      Bundle::shell("ip addr show eth0; ip route; ping -c 1 -w 20 10.88.0.1 > /dev/null && "
                    "echo reached; exit 3")))));
  EXPECT_EQ(ran.status, 3) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("inet 10.89.0.2/24"));
  EXPECT_THAT(ran.out, HasSubstr("default via 10.89.0.1 dev eth0"));
  EXPECT_THAT(ran.out, HasSubstr("reached\n"));
}

}  // namespace
}  // namespace agentvm::e2e
