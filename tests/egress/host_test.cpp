#include "egress/host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::egress {
namespace {

using testing::HasSubstr;

std::string error_of(const auto& result) {
  return result.has_value() ? "" : result.error().text();
}

TEST(ParseHostName, HasOneSpelling) {
  EXPECT_EQ(parse_host_name("API.Example.COM.").value(), "api.example.com");
  EXPECT_EQ(parse_host_name("localhost").value(), "localhost");
  EXPECT_EQ(parse_host_name("_dns.xn--bcher-kva.example").value(), "_dns.xn--bcher-kva.example");
  EXPECT_TRUE(parse_host_name(std::string(63, 'a') + ".example").has_value());
}

TEST(ParseHostName, SaysWhyANameIsNone) {
  EXPECT_THAT(error_of(parse_host_name("")), HasSubstr("it is empty"));
  EXPECT_THAT(error_of(parse_host_name(".")), HasSubstr("it is empty"));
  EXPECT_THAT(error_of(parse_host_name("a..b")), HasSubstr("an empty label"));
  EXPECT_THAT(error_of(parse_host_name(std::string(64, 'a'))), HasSubstr("more than 63"));
  EXPECT_THAT(error_of(parse_host_name("b\xc3\xbc"
                                       "cher.example")),
              HasSubstr("xn--"));
  EXPECT_THAT(error_of(parse_host_name("a.*.b")), HasSubstr("a '*' stands for"));
  EXPECT_THAT(error_of(parse_host_name("a b")), HasSubstr("letters, digits"));
  EXPECT_THAT(error_of(parse_host_name(std::string_view("a\0b", 3))), HasSubstr("'a?b'"));
  std::string longest;
  for (int i = 0; i < 127; ++i) longest += "a.";
  EXPECT_THAT(error_of(parse_host_name(longest + "example")), HasSubstr("more than 253"));
}

TEST(ParseHostName, TakesNoAddressForAName) {
  for (const char* text : {"127.0.0.1", "127.1", "2130706433", "0x7f000001", "a.0x7f", "a.1"}) {
    EXPECT_THAT(error_of(parse_host_name(text)), HasSubstr("reads as a number")) << text;
  }
}

TEST(ParseAddress, ReadsBothFamiliesAndMappedOnesAsIpv4) {
  EXPECT_EQ(to_text(parse_address("203.0.113.7").value()), "203.0.113.7");
  EXPECT_EQ(to_text(parse_address("[2001:db8::0:1]").value()), "2001:db8::1");
  EXPECT_EQ(parse_address("::ffff:10.0.0.1").value(), parse_address("10.0.0.1").value());
  for (const char* text : {"", "10.0.0", "010.0.0.1", "[10.0.0.1]", "fe80::1%eth0", "1.2.3.4 "}) {
    EXPECT_THAT(error_of(parse_address(text)), HasSubstr("none of IPv4 or IPv6")) << text;
  }
}

TEST(ParseNetwork, ContainsWhatItSays) {
  const auto inside = [](const char* network, const char* address) {
    return contains(parse_network(network).value(), parse_address(address).value());
  };
  EXPECT_TRUE(inside("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(inside("10.0.0.0/8", "11.0.0.0"));
  EXPECT_FALSE(inside("10.0.0.0/8", "::10.0.0.1"));
  EXPECT_TRUE(inside("0.0.0.0/0", "8.8.8.8"));
  EXPECT_FALSE(inside("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(inside("::/0", "8.8.8.8"));
  EXPECT_TRUE(inside("fc00::/7", "fd12::1"));
  EXPECT_TRUE(inside("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(inside("192.0.2.0/31", "192.0.2.2"));
}

TEST(ParseNetwork, RefusesWhatWasMeantOtherwise) {
  EXPECT_THAT(error_of(parse_network("10.1.0.0/8")), HasSubstr("10.0.0.0/8 is meant?"));
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x"}) {
    EXPECT_THAT(error_of(parse_network(text)), HasSubstr("from 0 to 32")) << text;
  }
  EXPECT_THAT(error_of(parse_network("::/129")), HasSubstr("from 0 to 128"));
}

TEST(ReservedFor, KnowsWhatIsNotTheInternets) {
  const auto reserved = [](const char* text) {
    const char* purpose = reserved_for(parse_address(text).value());
    return std::string(purpose == nullptr ? "" : purpose);
  };
  EXPECT_EQ(reserved("8.8.8.8"), "");
  EXPECT_EQ(reserved("2606:4700::1"), "");
  EXPECT_EQ(reserved("169.254.169.254"), "link-local");
  EXPECT_EQ(reserved("172.31.0.1"), "private");
  EXPECT_EQ(reserved("172.32.0.1"), "");
  EXPECT_EQ(reserved("127.8.8.8"), "loopback");
  EXPECT_EQ(reserved("::1"), "loopback");
  EXPECT_EQ(reserved("::ffff:192.168.1.1"), "private");
  EXPECT_EQ(reserved("fd00:ec2::254"), "private");
  EXPECT_EQ(reserved("168.63.129.16"), "a cloud's metadata");
}

TEST(ReservedFor, SeesTheIpv4AddressThatAnotherCarries) {
  EXPECT_STREQ(reserved_for(parse_address("2002:7f00:1::").value()), "loopback");
  EXPECT_STREQ(reserved_for(parse_address("64:ff9b::a9fe:a9fe").value()), "link-local");
  EXPECT_STREQ(reserved_for(parse_address("::10.0.0.1").value()), "private");
  EXPECT_EQ(reserved_for(parse_address("64:ff9b::808:808").value()), nullptr);
}

}  // namespace
}  // namespace agentvm::egress
