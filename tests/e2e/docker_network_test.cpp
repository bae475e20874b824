// Docker's networks, with a dockerd of the test's own.
#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class DockerNetwork : public Docker {
 protected:
  [[nodiscard]] Outcome exec(const std::string& container, const std::string& script) const {
    return docker({"exec", container, "sh", "-c", script});
  }
};

TEST_F(DockerNetwork, TheBridgeLeadsOutAndPublishedPortsLeadIn) {
  const Outcome ran = docker_run({"--detach", "--name", "web", "--publish", "8080:80"},
                                 "echo hello > /index.html; exec httpd -f -p 80 -h /");
  ASSERT_EQ(ran.status, 0) << ran.err;
  const std::string address =
      docker_out({"inspect", "--format", "{{.NetworkSettings.IPAddress}}", "web"});
  EXPECT_THAT(exec("web", "ip addr show eth0").out, HasSubstr("inet " + address + "/16"));
  EXPECT_EQ(exec("web", "ping -c 1 -w 10 10.88.0.1").status, 0);
  const auto fetch = [](const std::string& host) {
    return std::vector<std::string>{
        "sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - TCP:" + host + ":8080"};
  };
  const auto fetched = [](const Outcome& outcome) { return outcome.out.ends_with("hello\n"); };
  EXPECT_TRUE(eventually([&] { return fetched(network_->run_outside(fetch("10.88.0.2"))); }));
  EXPECT_TRUE(eventually([&] { return fetched(network_->run_inside(fetch("127.0.0.1"))); }));
}

TEST_F(DockerNetwork, NamesResolveOnAUserNetwork) {
  const TestNameServer names(*network_);
  docker_out({"network", "create", "backend"});
  const Outcome web =
      docker_run({"--detach", "--name", "web", "--network", "backend", "--network-alias", "www"},
                 "echo hello > /index.html; exec httpd -f -p 80 -h /");
  ASSERT_EQ(web.status, 0) << web.err;
  ASSERT_EQ(
      docker_run({"--detach", "--name", "client", "--network", "backend", "--dns", "10.88.0.1"},
                 "sleep 1000")
          .status,
      0);
  EXPECT_THAT(exec("client", "cat /etc/resolv.conf").out, HasSubstr("nameserver 127.0.0.11"));
  for (const std::string name : {"web", "www"}) {
    EXPECT_TRUE(eventually([&] {
      return exec("client", "wget -q -O - http://" + name + "/").out == "hello\n";
    })) << name;
  }
  EXPECT_THAT(exec("client", "nslookup nobody.example").out, HasSubstr("192.0.2.7"));
  EXPECT_NE(exec("client", "wget -q -O - http://nosuchname/").status, 0);
}

TEST_F(DockerNetwork, ConnectAndDisconnectChangeARunningContainer) {
  for (const char* name : {"first", "second"}) docker_out({"network", "create", name});
  ASSERT_EQ(docker_run({"--detach", "--name", "web", "--network", "first"}, "sleep 1000").status,
            0);
  docker_out({"network", "connect", "second", "web"});
  EXPECT_TRUE(eventually([&] {
    const std::string links = exec("web", "ip addr").out;
    return links.find("eth0") != std::string::npos && links.find("eth1") != std::string::npos;
  }));
  docker_out({"network", "disconnect", "first", "web"});
  EXPECT_TRUE(
      eventually([&] { return exec("web", "ip addr").out.find("eth0") == std::string::npos; }));
  docker_out({"network", "connect", "first", "web"});
  const std::string address =
      docker_out({"inspect", "--format", "{{.NetworkSettings.Networks.first.IPAddress}}", "web"});
  EXPECT_TRUE(eventually([&] {
    return exec("web", "ip addr").out.find("inet " + address) != std::string::npos;
  })) << exec("web", "ip addr").out
      << log_of("web");
}

// Docker's resolver comes with the first network of a user's.
TEST_F(DockerNetwork, NamesResolveOnceAUserNetworkIsConnected) {
  docker_out({"network", "create", "backend"});
  ASSERT_EQ(docker_run({"--detach", "--name", "web", "--network", "backend"}, "sleep 1000").status,
            0);
  ASSERT_EQ(docker_run({"--detach", "--name", "late"}, "sleep 1000").status, 0);
  docker_out({"network", "connect", "backend", "late"});
  EXPECT_TRUE(eventually([&] { return exec("late", "ping -c 1 -w 5 web").status == 0; }))
      << exec("late", "cat /etc/resolv.conf; nslookup web").out << log_of("late");
}

TEST_F(DockerNetwork, AServerOfTheContainersOwnMayHaveTheResolversPort) {
  docker_out({"network", "create", "backend"});
  ASSERT_EQ(docker_run({"--detach", "--name", "web", "--network", "backend"}, "sleep 1000").status,
            0);
  const Outcome outcome =
      docker_run({"--rm", "--network", "backend", "--volume", "/usr:/usr:ro", "--volume",
                  "/usr/lib:/lib:ro", "--volume", "/usr/lib64:/lib64:ro"},
                 "for kind in UDP4 TCP4; do socat $kind-LISTEN:53,fork EXEC:/bin/cat & done; "
                 "until [ $(netstat -ln | grep -c ':53 ') = 2 ]; do sleep 0.1; done; "
                 "for kind in UDP4 TCP4; do echo mine | socat -t 2 - $kind:127.0.0.1:53; done; "
                 "ping -c 1 -w 5 web >/dev/null && echo reached");
  EXPECT_EQ(outcome.out, "mine\nmine\nreached\n") << outcome.err;
}

TEST_F(DockerNetwork, NoneIsLoopbackAndWhatAVmCannotShareIsRefused) {
  const Outcome none = docker_run({"--rm", "--network", "none"}, "ip -o link | wc -l");
  EXPECT_EQ(none.out, "1\n") << none.err;
  const Outcome host = docker_run({"--rm", "--network", "host"}, "true");
  EXPECT_EQ(host.status, 125);
  EXPECT_THAT(host.err, HasSubstr("is the host's (--network host), which cannot be shared with a "
                                  "VM: give the container a network of its own"));
  ASSERT_EQ(docker_run({"--detach", "--name", "web"}, "sleep 1000").status, 0);
  const Outcome shared = docker_run({"--rm", "--network", "container:web"}, "true");
  EXPECT_EQ(shared.status, 125);
  EXPECT_THAT(shared.err, HasSubstr("two VMs cannot share one"));
}

TEST_F(DockerNetwork, Ipv6AndJumboFramesWork) {
  docker_out({"network", "create", "--ipv6", "--subnet", "fd89::/64", "--opt",
              "com.docker.network.driver.mtu=9000", "wide"});
  ASSERT_EQ(docker_run({"--detach", "--name", "web", "--network", "wide"}, "sleep 1000").status, 0);
  const std::string address = docker_out(
      {"inspect", "--format", "{{.NetworkSettings.Networks.wide.GlobalIPv6Address}}", "web"});
  const Outcome pinged = docker_run({"--rm", "--network", "wide"},
                                    "ip link show eth0; ping -c 1 -w 10 -s 8900 " + address);
  EXPECT_EQ(pinged.status, 0) << pinged.out << pinged.err;
  EXPECT_THAT(pinged.out, HasSubstr("mtu 9000"));
}

}  // namespace
}  // namespace agentvm::e2e
