// The network of a bundle's container, in namespaces that the test makes.
#include <algorithm>

#include "tests/e2e/harness/container.h"
#include "tests/e2e/harness/network.h"

namespace agentvm::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Runs in the namespace, with the capabilities to use and change a network.
class NetworkBundle : public Bundle {
 public:
  NetworkBundle(const TestNetwork& network, const std::string& script) : Bundle(shell(script)) {
    for (auto& entry : spec.linux_->namespaces) {
      if (entry.type == oci::NamespaceType::network) entry.path = network.path();
    }
    auto& capabilities = *spec.process->capabilities;
    for (auto* set : {&capabilities.bounding, &capabilities.effective, &capabilities.permitted}) {
      set->push_back("CAP_NET_RAW");
      set->push_back("CAP_NET_ADMIN");
    }
  }
};

class Network : public Agentvm {
 protected:
  [[nodiscard]] Outcome exec(const std::string& id, const std::string& script) const {
    return agentvm({"exec", id, "sh", "-c", script});
  }
};

TEST_F(Network, TheGuestHasTheAddressesAndRoutesOfItsNamespace) {
  const TestNetwork network(1400);
  (void)network.run_inside({"ip", "link", "set", "eth0", "address", "02:00:00:00:00:17"});
  (void)network.run_inside({"ip", "route", "add", "203.0.113.0/24", "via", "10.88.0.1", "metric",
                            "7"});
  (void)network.run_inside({"ip", "-6", "route", "add", "default", "via", "fd88::1"});
  (void)network.run_inside(
      {"ip", "neigh", "add", "10.88.0.9", "lladdr", "02:00:00:00:00:99", "dev", "eth0"});
  const Outcome seen =
      run(NetworkBundle(network, "ip addr show eth0; ip route; ip -6 route; ip neigh"));
  EXPECT_EQ(seen.status, 0) << seen.err;
  EXPECT_THAT(seen.out, AllOf(HasSubstr("02:00:00:00:00:17"), HasSubstr("mtu 1400"),
                              HasSubstr("inet 10.88.0.2/24 brd 10.88.0.255"),
                              HasSubstr("inet6 fd88::2/64")));
  EXPECT_THAT(seen.out, AllOf(HasSubstr("default via 10.88.0.1 dev eth0"),
                              HasSubstr("203.0.113.0/24 via 10.88.0.1 dev eth0  metric 7"),
                              HasSubstr("default via fd88::1 dev eth0"),
                              HasSubstr("10.88.0.9 dev eth0 lladdr 02:00:00:00:00:99")));
}

TEST_F(Network, PacketsGoBothWaysAndTheNamespaceIsAsBeforeAfterwards) {
  const TestNetwork network;
  const std::string before =
      network.run_inside({"tc", "qdisc"}).out + network.run_inside({"ip", "link"}).out;
  const NetworkBundle bundle(network,
                             "ping -c 1 -w 10 10.88.0.1 && ping -c 1 -w 10 fd88::1 && "
                             "while true; do echo from the guest | nc -l -p 8080; done");
  create("web", bundle);
  EXPECT_THAT(network.run_inside({"tc", "qdisc"}).out, Not(HasSubstr("ingress")));
  start("web");
  for (const char* address : {"TCP:10.88.0.2:8080", "TCP6:[fd88::2]:8080"}) {
    EXPECT_TRUE(eventually([&] {
      return network.run_outside({"socat", "-u", address, "-"}).out == "from the guest\n";
    })) << address;
  }
  EXPECT_EQ(agentvm({"kill", "web", "KILL"}).status, 0);
  wait_for_status("web", "stopped");
  EXPECT_EQ(network.run_inside({"tc", "qdisc"}).out + network.run_inside({"ip", "link"}).out,
            before);
}

// Through the offloads of both sides: segments of 64 KiB, checksums that nobody has made.
TEST_F(Network, MuchDataArrivesUnharmed) {
  const TestNetwork network(9000);
  const std::string data = scratch() + "/data";
  ASSERT_EQ(run_command({"dd", "if=/dev/urandom", "of=" + data, "bs=1M", "count=24"}).status, 0);
  const std::string sum = run_command({"md5sum", data}).out.substr(0, 32);
  const Background server(
      network.outside({"socat", "-u", "FILE:" + data, "TCP-LISTEN:99,reuseaddr"}));
  NetworkBundle bundle(network,
                       "ping -c 1 -w 10 -s 8000 10.88.0.1 >/dev/null || exit 9; "
                       "while ! nc 10.88.0.1 99 > /data || ! test -s /data; do sleep 0.1; done; "
                       "md5sum < /data; nc -l -p 8099 < /data");
  bundle.store();
  Background container(command({"run", "--bundle", bundle.path(), "web"}));
  EXPECT_TRUE(container.wait_for_output(sum));
  std::string back;
  EXPECT_TRUE(eventually([&] {
    back = network.run_outside({"sh", "-c", "socat -u TCP:10.88.0.2:8099 - | md5sum"}).out;
    return back.starts_with(sum);
  })) << back;
  EXPECT_EQ(container.wait().status, 0);
}

TEST_F(Network, InterfacesThatComeAndGoDoSoInTheGuest) {
  const TestNetwork network;
  const NetworkBundle bundle(network, "sleep 1000");
  create("web", bundle);
  start("web");
  network.add_interface("eth1", "10.89.0.2/24", "10.89.0.1/24");
  EXPECT_TRUE(eventually([&] {
    return exec("web", "ping -c 1 -w 2 10.89.0.1").status == 0;
  })) << exec("web", "ip addr").out;
  (void)network.run_inside({"ip", "route", "add", "198.51.100.0/24", "via", "10.89.0.1"});
  EXPECT_TRUE(eventually([&] {
    return exec("web", "ip route").out.find("198.51.100.0/24 via 10.89.0.1 dev eth1") !=
           std::string::npos;
  }));
  (void)network.run_inside({"ip", "link", "del", "eth0"});
  EXPECT_TRUE(eventually([&] {
    return exec("web", "ip link").out.find("eth0") == std::string::npos;
  }));
  EXPECT_EQ(exec("web", "ping -c 1 -w 10 10.89.0.1").status, 0);
  // Its place is free again, and its name.
  network.add_interface("eth0", "10.90.0.2/24", "10.90.0.1/24");
  EXPECT_TRUE(eventually([&] {
    return exec("web", "ping -c 1 -w 2 10.90.0.1").status == 0;
  })) << exec("web", "ip addr").out;
}

TEST_F(Network, WhatTheContainerSetItselfStays) {
  const TestNetwork network;
  const NetworkBundle bundle(network, "sleep 1000");
  create("web", bundle);
  start("web");
  const Outcome added = exec("web", "ip route add 192.0.2.0/24 via 10.88.0.1");
  EXPECT_EQ(added.status, 0) << added.err;
  (void)network.run_inside({"ip", "route", "add", "198.51.100.0/24", "via", "10.88.0.1"});
  EXPECT_TRUE(eventually([&] {
    return exec("web", "ip route").out.find("198.51.100.0/24") != std::string::npos;
  }));
  EXPECT_THAT(exec("web", "ip route").out, HasSubstr("192.0.2.0/24 via 10.88.0.1"));
}

TEST_F(Network, OneNamespaceIsOfOneVm) {
  const TestNetwork network;
  const NetworkBundle bundle(network, "sleep 1000");
  create("web", bundle);
  start("web");
  const NetworkBundle other(network, "true");
  other.store();
  const Outcome refused = agentvm({"run", "--bundle", other.path(), "other"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("belongs to another container"));
  EXPECT_EQ(exec("web", "ping -c 1 -w 10 10.88.0.1").status, 0);
}

TEST_F(Network, MoreInterfacesThanAVmHasPlacesForAreRefused) {
  const TestNetwork network;
  for (int i = 1; i < 5; ++i) {
    const std::string net = "10.89." + std::to_string(i);
    network.add_interface("eth" + std::to_string(i), net + ".2/24", net + ".1/24");
  }
  const NetworkBundle bundle(network, "true");
  create("web", bundle);
  const Outcome refused = agentvm({"start", "web"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("it has 5 network interfaces, and a VM has places for 4"));
  // Engines delete at once what failed to start, and only what has ended.
  EXPECT_EQ(status("web"), "stopped");
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
}

TEST_F(Network, APooledVmHasItToo) {
  configure("", "", "", 1);
  ASSERT_EQ(agentvm({"pool", "fill"}).status, 0);
  const TestNetwork network;
  const Outcome seen = run_timed(NetworkBundle(network, "ping -c 1 -w 10 10.88.0.1"));
  EXPECT_EQ(seen.status, 0) << seen.err;
  EXPECT_THAT(seen.err, HasSubstr(kClaimed));
}

TEST_F(Network, AMonitorThatIsKilledLeavesNothing) {
  const TestNetwork network;
  const std::string before = network.run_inside({"tc", "qdisc"}).out;
  const NetworkBundle bundle(network, "sleep 1000");
  create("web", bundle);
  start("web");
  EXPECT_THAT(network.run_inside({"ip", "link"}).out, HasSubstr("agentvm0"));
  ASSERT_EQ(::kill(stand_in("web"), SIGKILL), 0);
  EXPECT_TRUE(eventually([&] {
    return network.run_inside({"ip", "link"}).out.find("agentvm0") == std::string::npos;
  }));
  EXPECT_EQ(agentvm({"delete", "--force", "web"}).status, 0);
  EXPECT_EQ(network.run_inside({"tc", "qdisc"}).out, before);
  // And the next one finds the interface usable.
  const Outcome again = run(NetworkBundle(network, "ping -c 1 -w 10 10.88.0.1"));
  EXPECT_EQ(again.status, 0) << again.err;
}

}  // namespace
}  // namespace agentvm::e2e
