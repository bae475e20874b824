// The guest's connections, redirected to a real gateway.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <fstream>
#include <sstream>

#include "tests/egress/gateway/world.h"

namespace agentvm::egress {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kHost = "93.184.216.34";
constexpr const char* kHost6 = "2606:2800:220::34";
constexpr const char* kOther = "93.184.216.35";

// A ClientHello of TLS 1.2 with nothing in it but a name, or an extension that hides it.
std::string hello(const std::string& name, bool hidden = false) {
  const auto sized = [](std::size_t size, const std::string& bytes) {
    std::string all;
    for (std::size_t i = size; i-- > 0;) all += static_cast<char>(bytes.size() >> (8 * i));
    return all + bytes;
  };
  std::string extensions;
  if (!name.empty()) {
    extensions += std::string(2, '\0') + sized(2, sized(2, std::string(1, '\0') + sized(2, name)));
  }
  if (hidden) extensions += "\xfe\x0d" + sized(2, "x");
  const std::string body = "\3\3" + std::string(32, 'r') + sized(1, "") + sized(2, "\xc0\x2b") +
                           sized(1, std::string(1, '\0')) + sized(2, extensions);
  return "\x16\3\1" + sized(2, "\1" + sized(3, body));
}

class GatewayTcp : public testing::Test {
 protected:
  GatewayTcp() {
    for (const char* address : {"93.184.216.34/32", "93.184.216.35/32", "2606:2800:220::34/128"}) {
      world.add_address(address);
    }
  }
  // What the server gives back of `bytes`, which it therefore saw.
  std::string talk(const std::string& address, std::uint16_t port, const std::string& bytes) {
    const GuestSocket guest = world.connect(address, port);
    guest.send(bytes);
    return guest.receive(bytes.size());
  }

  World world;
  NameServer names{world.outside(),
                   {{"good.test", {.addresses = {kHost, kHost6}}},
                    {"other.test", {.addresses = {kOther}}},
                    {"looked.test", {.addresses = {kOther}}}}};
};

TEST_F(GatewayTcp, ReachesAnAddressByNameOnlyAfterTheNameWasResolvedToIt) {
  const EchoServer ssh(world.outside(), kHost, 22, "SSH-2.0-test\r\n");
  ASSERT_EQ(world.start({.rules = {"allow good.test:22"}}), "ready\n");
  EXPECT_EQ(world.connect(kHost, 22).rest(), "<reset>");
  EXPECT_EQ(ssh.connections(), 0U);
  EXPECT_EQ(world.resolve("good.test"), kHost);
  const GuestSocket guest = world.connect(kHost, 22);
  EXPECT_EQ(guest.receive(14), "SSH-2.0-test\r\n");
  guest.send("hello");
  EXPECT_EQ(guest.receive(5), "hello");
  EXPECT_EQ(world.connect(kHost, 25).rest(), "<reset>");
  EXPECT_THAT(world.log(), HasSubstr(R"("protocol":"tcp","verdict":"deny","port":22,)"
                                     R"("address":"93.184.216.34","reason":"no rule allows it")"));
}

TEST_F(GatewayTcp, PassesBothEndsAndCountsWhatWentThrough) {
  const EchoServer server(world.outside(), kHost, 7000);
  ASSERT_EQ(world.start({.rules = {"allow 93.184.216.34:7000"}}), "ready\n");
  {
    const GuestSocket guest = world.connect(kHost, 7000);
    const std::string sent(3'000'000, 'x');
    std::thread sender([&] {
      guest.send(sent);
      guest.end();
    });
    EXPECT_EQ(guest.rest(), sent + "<end>");
    sender.join();
  }
  EXPECT_EQ(server.bytes(), 3'000'000U);
  EXPECT_TRUE(e2e::eventually([&] {
    return world.log().find(R"("bytes_in":3000000,"bytes_out":3000000)") != std::string::npos;
  })) << world.log();
}

TEST_F(GatewayTcp, WorksOverIpv6) {
  const EchoServer server(world.outside(), kHost6, 22, "hi");
  ASSERT_EQ(world.start({.rules = {"allow good.test:22"}}), "ready\n");
  EXPECT_EQ(world.connect(kHost6, 22).rest(), "<reset>");
  EXPECT_EQ(world.resolve("good.test", kDnsAaaa), kHost6);
  EXPECT_EQ(world.connect(kHost6, 22).receive(2), "hi");
}

TEST_F(GatewayTcp, ReadsTheNameOfTlsHoweverItIsCut) {
  const EchoServer server(world.outside(), kHost, 443);
  ASSERT_EQ(world.start({.rules = {"allow good.test"}}), "ready\n");
  ASSERT_EQ(world.resolve("good.test"), kHost);
  const std::string bytes = hello("good.test");
  EXPECT_EQ(talk(kHost, 443, bytes), bytes);
  for (const std::size_t cut : {1U, 4U, 5U, 6U, 20U, 60U}) {
    const GuestSocket guest = world.connect(kHost, 443);
    guest.send(bytes.substr(0, cut));
    const std::uint64_t before = server.connections();
    guest.send(bytes.substr(cut));
    EXPECT_EQ(guest.receive(bytes.size()), bytes) << cut;
    EXPECT_EQ(server.connections(), before + 1);
  }
  const GuestSocket slow = world.connect(kHost, 443);
  for (const char c : bytes) slow.send(std::string(1, c));
  EXPECT_EQ(slow.receive(bytes.size()), bytes);
}

TEST_F(GatewayTcp, RefusesNamesThatAreNotThatAddresss) {
  const EchoServer server(world.outside(), kOther, 443);
  ASSERT_EQ(world.start({.rules = {"allow good.test", "allow other.test"}}), "ready\n");
  ASSERT_EQ(world.resolve("good.test"), kHost);
  EXPECT_EQ(talk(kOther, 443, hello("good.test")), "<reset>");
  EXPECT_EQ(talk(kOther, 443, hello("evil.test")), "<reset>");
  EXPECT_EQ(talk(kOther, 443, hello("")), "<reset>");
  EXPECT_EQ(talk(kOther, 443, hello("other.test", true)), "<reset>");
  EXPECT_EQ(server.connections(), 0U);
  EXPECT_THAT(world.log(), HasSubstr("good.test was not resolved to this address"));
  EXPECT_THAT(world.log(), HasSubstr("the client names no server (SNI)"));
  EXPECT_THAT(world.log(), HasSubstr("the client hides the server's name (ECH)"));
  // Not asked for before, and what the name means.
  EXPECT_EQ(talk(kOther, 443, hello("other.test")), hello("other.test"));
}

TEST_F(GatewayTcp, LetsNobodySpeakPastARuleForRequests) {
  const EchoServer server(world.outside(), kOther, 443);
  const EchoServer odd(world.outside(), kOther, 7777);
  ASSERT_EQ(world.start({.rules = {"allow looked.test GET /public/**", "allow other.test"},
                         .otherwise = "allow"}),
            "ready\n");
  ASSERT_EQ(world.resolve("looked.test"), kOther);
  EXPECT_EQ(talk(kOther, 7777, "bytes"), "<reset>");
  EXPECT_EQ(talk(kOther, 443, hello("")), "<reset>");
  EXPECT_EQ(talk(kOther, 443, hello("good.test")), "<reset>");
  EXPECT_EQ(server.connections() + odd.connections(), 0U);
  EXPECT_THAT(world.log(), HasSubstr("requests to looked.test are looked at, and this is none"));
}

TEST_F(GatewayTcp, ClosesWhatIsBrokenWithAReason) {
  const EchoServer server(world.outside(), kHost, 443);
  ASSERT_EQ(world.start({.rules = {"allow good.test"}}), "ready\n");
  ASSERT_EQ(world.resolve("good.test"), kHost);
  EXPECT_EQ(talk(kHost, 443, "\x16\3\1\xff\xff" + std::string(20, 'x')), "<reset>");
  const GuestSocket ended = world.connect(kHost, 443);
  ended.send(hello("good.test").substr(0, 30));
  ended.end();
  EXPECT_EQ(ended.rest(), "<reset>");
  const GuestSocket silent = world.connect(kHost, 443);
  silent.end();
  EXPECT_EQ(silent.rest(), "<reset>");
  EXPECT_EQ(server.connections(), 0U);
  EXPECT_THAT(world.log(), HasSubstr("TLS ClientHello: a record of no possible length"));
  EXPECT_THAT(world.log(), HasSubstr("the client has ended before it said what it wants"));
  EXPECT_THAT(world.log(), HasSubstr("the client has ended without a word"));
}

TEST_F(GatewayTcp, KeepsAddressesOfItsOwnAndReservedOnesFromTheGuest) {
  const EchoServer inner(world.outside(), "10.88.0.1", 22, "secret");
  ASSERT_EQ(world.start({.rules = {"allow 10.213.0.0/16"}, .otherwise = "allow"}), "ready\n");
  EXPECT_EQ(world.connect("10.88.0.1", 22).rest(), "<reset>");
  EXPECT_EQ(world.connect("10.213.0.1", 15001).rest(), "<reset>");
  EXPECT_EQ(inner.connections(), 0U);
  EXPECT_THAT(world.log(), HasSubstr("none of the Internet's (private), and no rule names it"));
  EXPECT_THAT(world.log(), HasSubstr("it is for the gateway itself"));
}

TEST_F(GatewayTcp, ResetsWhenNobodyAnswersThere) {
  ASSERT_EQ(world.start({.rules = {"allow 93.184.216.34"}}), "ready\n");
  EXPECT_EQ(world.connect(kHost, 22).rest(), "<reset>");
  EXPECT_THAT(world.log(), HasSubstr("connect to 93.184.216.34 port 22: Connection refused"));
}

TEST_F(GatewayTcp, TriesTheOtherAddressesOfANameForTheGuest) {
  const EchoServer server(world.outside(), kHost, 22, "hi");
  ASSERT_EQ(world.start({.rules = {"allow good.test:22"}}), "ready\n");
  ASSERT_EQ(world.resolve("good.test", kDnsAaaa), kHost6);
  EXPECT_EQ(world.connect(kHost6, 22).rest(), "<reset>");
  ASSERT_EQ(world.resolve("good.test"), kHost);
  EXPECT_EQ(world.connect(kHost6, 22).receive(2), "hi");
}

TEST_F(GatewayTcp, GoesThroughTheProxyOfTheHost) {
  const EchoServer proxy(world.outside(), "10.88.0.1", 3128, "HTTP/1.1 200 OK\r\n\r\nbanner");
  const EchoServer surly(world.outside(), "10.88.0.1", 3129, "HTTP/1.1 407 No\r\n\r\n");
  World::Options options{.rules = {"allow good.test:22"},
                         .more = R"("upstream_proxy":"http://u:p@10.88.0.1:3128")"};
  ASSERT_EQ(world.start(options), "ready\n");
  ASSERT_EQ(world.resolve("good.test"), kHost);
  EXPECT_THAT(world.connect(kHost, 22).receive(60),
              testing::StartsWith("bannerCONNECT good.test:22 HTTP/1.1\r\nHost: good.test:22\r\n"
                                  "Proxy-Authorization: Basic dTpw\r\n\r\n"));
  options.more = R"("upstream_proxy":"http://10.88.0.1:3129")";
  EXPECT_THAT(world.update(options), HasSubstr(R"("ok":true)"));
  EXPECT_EQ(world.connect(kHost, 22).rest(), "<reset>");
  EXPECT_THAT(world.log(), HasSubstr("the upstream proxy says 'HTTP/1.1 407 No'"));
}

TEST_F(GatewayTcp, LetsTheProxyOfTheHostResolveWhatNobodyElseCan) {
  const EchoServer proxy(world.outside(), "10.88.0.1", 3128, "HTTP/1.1 200 OK\r\n\r\n");
  ASSERT_EQ(world.start({.rules = {"allow **.far.test:22", "allow good.test:22"},
                         .more = R"("upstream_proxy":"http://10.88.0.1:3128")"}),
            "ready\n");
  EXPECT_EQ(world.resolve("bad.test"), "NXDOMAIN");
  EXPECT_EQ(world.resolve("good.test"), kHost);
  EXPECT_EQ(world.resolve("a.far.test"), "198.18.0.1");
  EXPECT_EQ(world.resolve("b.far.test"), "198.18.0.2");
  EXPECT_EQ(world.resolve("a.far.test"), "198.18.0.1");
  EXPECT_EQ(world.resolve("a.far.test", kDnsAaaa), "");
  EXPECT_THAT(world.connect("198.18.0.2", 22).receive(30),
              testing::StartsWith("CONNECT b.far.test:22 HTTP/1.1\r\n"));
  EXPECT_EQ(world.connect("198.18.0.2", 25).rest(), "<reset>");
  EXPECT_EQ(world.connect("198.18.0.3", 22).rest(), "<reset>");
}

TEST_F(GatewayTcp, LeavesTheGuestWithNothingWhenItIsKilled) {
  const EchoServer server(world.outside(), kHost, 22, "hi");
  ASSERT_EQ(world.start({.rules = {"allow 93.184.216.34"}}), "ready\n");
  const GuestSocket open = world.connect(kHost, 22);
  EXPECT_EQ(open.receive(2), "hi");
  world.kill_gateway();
  EXPECT_EQ(open.rest(), "<end>");
  GuestSocket after = world.socket();
  EXPECT_FALSE(after.connect(kHost, 22));
  EXPECT_EQ(errno, ECONNREFUSED);
  ASSERT_EQ(world.start({.rules = {"allow 93.184.216.34"}}), "ready\n");
  EXPECT_EQ(world.connect(kHost, 22).receive(2), "hi");
}

}  // namespace
}  // namespace agentvm::egress
