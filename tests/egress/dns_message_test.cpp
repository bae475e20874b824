#include "egress/dns_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::egress {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string error_of(const auto& result) {
  return result.has_value() ? "" : result.error().text();
}

std::string number(std::size_t value, unsigned bytes) {
  std::string text;
  for (unsigned i = bytes; i-- > 0;) text += static_cast<char>((value >> (8 * i)) & 0xff);
  return text;
}
std::string name(std::string_view dotted) {
  std::string bytes;
  while (!dotted.empty()) {
    const std::string_view label = dotted.substr(0, dotted.find('.'));
    bytes += static_cast<char>(label.size());
    bytes += label;
    dotted.remove_prefix(std::min(label.size() + 1, dotted.size()));
  }
  return bytes + std::string(1, '\0');
}
std::string header(unsigned flags, std::size_t questions, std::size_t answers) {
  return number(7, 2) + number(flags, 2) + number(questions, 2) + number(answers, 2) + number(0, 4);
}
std::string question(std::string_view of, unsigned type) {
  return name(of) + number(type, 2) + number(kDnsInternet, 2);
}
std::string record(const std::string& owner, unsigned type, std::size_t ttl,
                   const std::string& data) {
  return owner + number(type, 2) + number(kDnsInternet, 2) + number(ttl, 4) +
         number(data.size(), 2) + data;
}
std::string answer(std::string_view of, const std::vector<std::string>& records,
                   unsigned type = kDnsA) {
  std::string message = header(0x8180, 1, records.size()) + question(of, type);
  for (const std::string& each : records) message += each;
  return message;
}
const std::string kOwner = number(0xc00c, 2);  // the question's name
const std::string kIpv4("\x5d\xb8\xd8\x22", 4);

TEST(ParseDnsQuery, ReadsTheOneQuestion) {
  const auto query = parse_dns_query(header(0x0100, 1, 0) + question("WWW.example.com", kDnsAaaa));
  ASSERT_TRUE(query.has_value()) << query.error().text();
  EXPECT_EQ(query->id, 7);
  EXPECT_TRUE(query->recursion_desired);
  EXPECT_EQ(query->question, (DnsQuestion{"www.example.com", kDnsAaaa, kDnsInternet}));
  EXPECT_EQ(query->question_bytes, question("WWW.example.com", kDnsAaaa));
}

TEST(ParseDnsQuery, RefusesWhatAPolicyCannotJudge) {
  EXPECT_THAT(error_of(parse_dns_query("")), HasSubstr("ends too early"));
  EXPECT_THAT(error_of(parse_dns_query(header(0x8100, 1, 0) + question("a.b", 1))),
              HasSubstr("no question"));
  EXPECT_THAT(error_of(parse_dns_query(header(0x2900, 1, 0) + question("a.b", 1))),
              HasSubstr("no standard query"));
  EXPECT_THAT(error_of(parse_dns_query(header(0, 2, 0) + question("a.b", 1) + question("c.d", 1))),
              HasSubstr("not one question"));
  EXPECT_THAT(error_of(parse_dns_query(header(0, 1, 1) + question("a.b", 1))),
              HasSubstr("with answers"));
  EXPECT_THAT(error_of(parse_dns_query(header(0, 1, 0) + question("", 1))), HasSubstr("empty"));
  std::string dotted = header(0, 1, 0) +
                       "\x03"
                       "a.b" +
                       std::string(1, '\0') + number(1, 2) + number(1, 2);
  EXPECT_THAT(error_of(parse_dns_query(dotted)), HasSubstr("a label with a dot"));
}

TEST(ParseDnsQuery, EveryBeginningOfItIsRefused) {
  const std::string whole = header(0x0100, 1, 0) + question("www.example.com", kDnsA);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_dns_query(std::string_view(whole).substr(0, size)).has_value()) << size;
  }
}

TEST(ParseDnsAnswer, FollowsAliasesToTheAddressesAndTheLeastTtl) {
  const auto parsed = parse_dns_answer(
      answer("www.example.com", {record(kOwner, kDnsCname, 30, name("cdn.example.net")),
                                 record(name("CDN.example.net"), kDnsA, 300, kIpv4),
                                 record(name("other.example"), kDnsA, 300, kIpv4)}));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().text();
  EXPECT_THAT(parsed->aliases, ElementsAre("cdn.example.net"));
  EXPECT_THAT(parsed->addresses,
              ElementsAre(DnsAddress{parse_address("93.184.216.34").value(), 30}));
}

TEST(ParseDnsAnswer, ReadsIpv6AndCodes) {
  const std::string loopback = std::string(15, '\0') + '\x01';
  const auto parsed =
      parse_dns_answer(answer("a.example", {record(kOwner, kDnsAaaa, 5, loopback)}, kDnsAaaa));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().text();
  EXPECT_THAT(parsed->addresses, ElementsAre(DnsAddress{parse_address("::1").value(), 5}));
  const auto none = parse_dns_answer(header(0x8183, 1, 0) + question("a.example", kDnsA));
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->code, kDnsNoSuchName);
}

TEST(ParseDnsAnswer, RefusesCirclesAndPointersForward) {
  EXPECT_THAT(error_of(parse_dns_answer(answer(
                  "a.example", {record(kOwner, kDnsCname, 5, name("b.example")),
                                record(name("b.example"), kDnsCname, 5, name("a.example"))}))),
              HasSubstr("circle"));
  const std::string itself = header(0x8180, 1, 0) + number(0xc00c, 2) + number(1, 2) + number(1, 2);
  EXPECT_THAT(error_of(parse_dns_answer(itself)), HasSubstr("points forward"));
  const std::string into_header =
      header(0x8180, 1, 0) + number(0xc000, 2) + number(1, 2) + number(1, 2);
  EXPECT_THAT(error_of(parse_dns_answer(into_header)), HasSubstr("into the header"));
  EXPECT_THAT(error_of(parse_dns_answer(answer("a.example", {record(kOwner, kDnsA, 5, "abc")}))),
              HasSubstr("wrong length"));
}

TEST(WriteDns, WhatIsWrittenIsRead) {
  const std::string asked = write_dns_query(9, {"www.example.com", kDnsA, kDnsInternet});
  const auto query = parse_dns_query(asked);
  ASSERT_TRUE(query.has_value()) << query.error().text();
  EXPECT_EQ(query->question.name, "www.example.com");
  const DnsAddress address{parse_address("93.184.216.34").value(), 60};
  const DnsAddress other{parse_address("2606::1").value(), 60};
  const auto answered = parse_dns_answer(write_dns_answer(*query, {other, address}));
  ASSERT_TRUE(answered.has_value()) << answered.error().text();
  EXPECT_EQ(answered->id, 9);
  EXPECT_THAT(answered->addresses, ElementsAre(address));
  const auto refused = parse_dns_answer(write_dns_refusal(*query, kDnsNoSuchName));
  ASSERT_TRUE(refused.has_value()) << refused.error().text();
  EXPECT_EQ(refused->code, kDnsNoSuchName);
  EXPECT_THAT(refused->addresses, IsEmpty());
}

}  // namespace
}  // namespace agentvm::egress
