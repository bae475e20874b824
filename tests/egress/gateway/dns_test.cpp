// The guest's name service, asked by real datagrams and connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/egress/gateway/world.h"

namespace agentvm::egress {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr std::uint16_t kDnsTxt = 16;
constexpr std::uint16_t kDnsHttps = 65;

std::string query(const std::string& name, std::uint16_t type) {
  return write_dns_query(7, {name, type, kDnsInternet});
}

TEST(GatewayDns, ResolvesWhatIsAllowedAndAsksNobodyForTheRest) {
  World world;
  NameServer names(world.outside(), {{"good.test", {.addresses = {"93.184.216.34"}}},
                                     {"bad.test", {.addresses = {"93.184.216.35"}}}});
  ASSERT_EQ(world.start({.rules = {"allow good.test", "allow **.wild.test:443"}}), "ready\n");
  EXPECT_EQ(world.resolve("good.test"), "93.184.216.34");
  EXPECT_EQ(world.resolve("GOOD.test"), "93.184.216.34");
  EXPECT_EQ(world.resolve("good.test", kDnsA, true), "93.184.216.34");
  EXPECT_EQ(world.resolve("bad.test"), "NXDOMAIN");
  EXPECT_EQ(world.resolve("good.test.bad.test"), "NXDOMAIN");
  // Allowed, and there is no such name.
  EXPECT_EQ(world.resolve("none.wild.test"), "NXDOMAIN");
  for (const DnsQuestion& question : names.questions()) {
    EXPECT_THAT(question.name, Not(HasSubstr("bad")));
  }
  EXPECT_THAT(world.log(), HasSubstr(R"("protocol":"dns","verdict":"allow","host":"good.test",)"
                                     R"("address":"93.184.216.34","rule":"allow good.test",)"
                                     R"("layer":"user","reason":"by the rule 'allow good.test'")"));
  EXPECT_THAT(world.log(), HasSubstr(R"("verdict":"deny","host":"bad.test","reason":"no rule)"));
}

TEST(GatewayDns, FiltersAddressesThatAreNotTheInternetsUnlessARuleNamesThem) {
  World world;
  const NameServer names(world.outside(),
                         {{"rebind.test", {.addresses = {"10.0.0.7"}}},
                          {"meta.test", {.addresses = {"169.254.169.254"}}},
                          {"mixed.test", {.addresses = {"127.0.0.1", "93.184.216.34"}}},
                          {"inside.test", {.addresses = {"10.9.0.1"}}}});
  ASSERT_EQ(world.start({.rules = {"allow 10.9.0.0/16"}, .otherwise = "allow"}), "ready\n");
  EXPECT_EQ(world.resolve("rebind.test"), "NXDOMAIN");
  EXPECT_EQ(world.resolve("meta.test"), "NXDOMAIN");
  EXPECT_EQ(world.resolve("mixed.test"), "93.184.216.34");
  EXPECT_EQ(world.resolve("inside.test"), "10.9.0.1");
  EXPECT_THAT(world.log(), HasSubstr("it resolves to an address that is none of the Internet's "
                                     "(private), and no rule names that"));
}

TEST(GatewayDns, FollowsAliasesUnlessOneOfThemIsDenied) {
  World world;
  const NameServer names(world.outside(),
                         {{"www.test", {.addresses = {"93.184.216.34"}, .alias = "cdn.test"}},
                          {"ads.test", {.addresses = {"93.184.216.35"}, .alias = "evil.test"}}});
  ASSERT_EQ(world.start({.rules = {"allow www.test", "allow ads.test", "deny evil.test"}}),
            "ready\n");
  EXPECT_EQ(world.resolve("www.test"), "93.184.216.34");
  EXPECT_EQ(world.resolve("ads.test"), "NXDOMAIN");
  EXPECT_THAT(world.log(), HasSubstr("it is an alias of evil.test, denied by the rule"));
}

TEST(GatewayDns, AsksAgainOverTcpWhenAnAnswerIsCutAndCutsNoneOfItsOwnAddresses) {
  World world;
  Zone many{.only_tcp = true};
  for (int i = 1; i <= 40; ++i) many.addresses.push_back(fmt::format("93.184.216.{}", i));
  const NameServer names(world.outside(), {{"many.test", many}});
  ASSERT_EQ(world.start({.rules = {"allow many.test"}}), "ready\n");
  EXPECT_THAT(world.resolve("many.test"), HasSubstr("93.184.216.1 93.184.216.2 "));
  EXPECT_THAT(world.resolve("many.test", kDnsA, true), HasSubstr(" 93.184.216.40"));
  EXPECT_THAT(world.ask(query("many.test", kDnsA)), SizeIs(testing::Le(512U)));
}

TEST(GatewayDns, AnswersIpv6OnlyWhereTheNamespaceHasIt) {
  World world;
  const NameServer names(world.outside(), {{"six.test", {.addresses = {"2606:2800:220::1"}}}});
  ASSERT_EQ(world.start({.rules = {"allow six.test"}}), "ready\n");
  EXPECT_EQ(world.resolve("six.test", kDnsAaaa), "2606:2800:220::1");
  ASSERT_EQ(world.start({.rules = {"allow six.test"}, .ipv6 = false}), "ready\n");
  EXPECT_EQ(world.resolve("six.test", kDnsAaaa), "");
  EXPECT_EQ(world.resolve("other.test", kDnsAaaa), "NXDOMAIN");
}

TEST(GatewayDns, CarriesNothingButAddressesUnlessEverythingIsAllowed) {
  World world;
  NameServer names(world.outside(), {{"a.test", {.text = "tunnelled"}}});
  ASSERT_EQ(world.start({.rules = {"allow a.test"}}), "ready\n");
  EXPECT_EQ(world.resolve("a.test", kDnsTxt), "REFUSED");
  EXPECT_EQ(world.resolve("a.test", kDnsHttps), "");
  EXPECT_THAT(names.questions(), IsEmpty());
  EXPECT_THAT(world.log(), HasSubstr("records of type 16 may carry anything"));
  ASSERT_EQ(world.start({.rules = {"deny b.test"}, .otherwise = "allow"}), "ready\n");
  EXPECT_EQ(world.resolve("a.test", kDnsHttps), "");
  const std::string reply = world.ask(query("A.test", kDnsTxt));
  EXPECT_THAT(reply, HasSubstr("tunnelled"));
  EXPECT_EQ(reply.substr(12, 7), std::string("\1A\4test", 7));
  EXPECT_EQ(world.resolve("b.test", kDnsTxt), "NXDOMAIN");
}

TEST(GatewayDns, SaysThatTheResolverFailed) {
  World world;
  ASSERT_EQ(world.start({.rules = {"allow a.test"}, .resolver = false}), "ready\n");
  EXPECT_EQ(world.resolve("a.test"), "SERVFAIL");
  EXPECT_THAT(world.log(), HasSubstr("there is no resolver"));
}

TEST(GatewayDns, AnswersMalformedQuestionsWithAComplaintAndGoesOn) {
  World world;
  const NameServer names(world.outside(), {{"good.test", {.addresses = {"93.184.216.34"}}}});
  ASSERT_EQ(world.start({.rules = {"allow good.test"}}), "ready\n");
  const std::string good = query("good.test", kDnsA);
  const std::string head = good.substr(0, 12);
  for (const std::string& body :
       {std::string("\x3f") + std::string(10, 'a'),          // a label past the end
        std::string("\xc0\x0c\0\1\0\1", 6),                  // a name that points at itself
        std::string("\xc0\xff\0\1\0\1", 6),                  // forward
        std::string("\x80x\0\0\1\0\1", 7),                   // a label of no kind
        std::string("\3a.b\0\0\1\0\1", 9),                   // a dot within a label
        std::string("\4good\4test\0", 11),                   // no type
        std::string("\0\0\1\0\1", 5),                        // the root
        std::string("\4\xff\xfe\xfd\xfc\0\0\1\0\1", 10)}) {  // no letters
    const std::string reply = world.ask(head + body);
    ASSERT_THAT(reply, SizeIs(12));
    EXPECT_EQ(reply.substr(0, 2), head.substr(0, 2));
    EXPECT_EQ(reply[3] & 0xf, 1) << "FORMERR";
    EXPECT_THAT(world.ask(head + body, true), SizeIs(12));
  }
  std::string name;
  for (int i = 0; i < 63; ++i) name += "\3abc";
  EXPECT_THAT(world.ask(head + name + std::string("\4abcd\0\0\1\0\1", 10)), SizeIs(12));
  EXPECT_THAT(world.ask(good.substr(0, 11) + "x", true), testing::Not(IsEmpty()));
  // Too short, too long, an answer: nothing to say; the connection ends.
  EXPECT_EQ(world.ask("x", true), "<end>");
  EXPECT_EQ(world.ask(std::string(5000, 'x'), true), "<reset>");
  std::string answer = good;
  answer[2] = static_cast<char>(0x80);
  EXPECT_EQ(world.ask(answer, true), "<end>");
  EXPECT_EQ(world.resolve("good.test"), "93.184.216.34");
  EXPECT_TRUE(world.is_running());
}

}  // namespace
}  // namespace agentvm::egress
