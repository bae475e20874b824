// An agent sandbox as a container of Docker, on a network of a user's.
#include <filesystem>

#include "tests/e2e/harness/dockerd.h"
#include "tests/egress/gateway/world.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;
using testing::Not;

class BoundDocker : public Docker {
 protected:
  // As the sandbox's owner does it between `docker create` and `docker start`.
  void write_settings(const std::string& container, const std::string& allowed) const {
    std::filesystem::create_directories(sandboxes() + "/web");
    write_file(
        sandboxes() + "/web/gateway.json",
        R"({"version":1,"sandbox":"web","container":")" + container +
            R"(","default":"deny","layers":[{"name":"user","rules":[{"allow":true,"target":")" +
            allowed + R"(","method":"","path":""}]}],"credentials":[],"upstream_proxy":""})",
        0600);
  }
  [[nodiscard]] std::string probe(const std::string& words) const {
    return docker({"exec", "box", "sh", "-c", "/probe " + words}).out;
  }
};

TEST_F(BoundDocker, HasItsNamesServersAndPortsThroughItsGateway) {
  const std::string outside = network_->path() + "-out";
  for (const char* address : {"5.6.7.8/32", "5.6.7.66/32"}) {
    (void)network_->run_outside({"ip", "addr", "add", address, "dev", "lo"});
  }
  const egress::NameServer names(outside, {{"good.example", {.addresses = {"5.6.7.8"}}},
                                           {"evil.example", {.addresses = {"5.6.7.66"}}}});
  const egress::EchoServer good(outside, "5.6.7.8", 443);
  const egress::EchoServer evil(outside, "5.6.7.66", 443);
  for (const char* network : {"backend", "second"}) docker_out({"network", "create", network});
  const std::string volume = std::string(AGENTVM_PACKET_PROBE) + ":/probe:ro";
  const std::string id = docker_out(
      {"create", "--runtime", "agentvm", "--name", "box", "--network", "backend", "--dns",
       "10.88.0.1", "--publish", "8080:80", "--env", "AGENTVM_SANDBOX=web", "--volume", volume,
       "busybox", "sh", "-c", "echo hello > /index.html; exec httpd -f -p 80 -h /"});
  EXPECT_THAT(docker({"start", "box"}).err, HasSubstr("agent sandbox 'web': there is none of that "
                                                      "name on this host"));
  write_settings(id, "good.example");
  docker_out({"start", "box"});
  EXPECT_EQ(probe("ask 127.0.0.11 good.example 1"), "5.6.7.8\n");
  EXPECT_EQ(probe("ask 127.0.0.11 evil.example 1"), "code 3\n");
  EXPECT_EQ(probe("hello 5.6.7.8 443 good.example"), "answered\n");
  EXPECT_THAT(probe("hello 5.6.7.66 443 good.example"), Not(HasSubstr("answered")));
  EXPECT_TRUE(eventually([&] {
    return network_
        ->run_outside(
            {"sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - TCP:10.88.0.2:8080"})
        .out.ends_with("hello\n");
  }));
  // Nobody else is this sandbox, and no other network is a way out of it.
  EXPECT_THAT(docker_run({"--rm", "--env", "AGENTVM_SANDBOX=web"}, "true").err,
              HasSubstr("no container gets the policy of another by naming it"));
  docker_out({"network", "connect", "second", "box"});
  EXPECT_THAT(probe("hello 5.6.7.66 443 evil.example"), Not(HasSubstr("answered")));
  EXPECT_EQ(probe("hello 5.6.7.8 443 good.example"), "answered\n");
  // A restart takes the settings as they are then.
  write_settings(id, "evil.example");
  docker_out({"restart", "--time", "1", "box"});
  EXPECT_EQ(probe("ask 127.0.0.11 good.example 1"), "code 3\n");
  EXPECT_EQ(evil.connections(), 0U);
  EXPECT_EQ(probe("ask 127.0.0.11 evil.example 1"), "5.6.7.66\n");
  EXPECT_EQ(probe("hello 5.6.7.66 443 evil.example"), "answered\n");
}

}  // namespace
}  // namespace agentvm::e2e
