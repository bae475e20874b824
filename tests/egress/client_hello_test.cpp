// Messages are written here, piece by piece.
#include "egress/client_hello.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace agentvm::egress {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string number(std::size_t value, unsigned bytes) {
  std::string text;
  for (unsigned i = bytes; i-- > 0;) text += static_cast<char>((value >> (8 * i)) & 0xff);
  return text;
}
std::string piece(const std::string& content, unsigned bytes) {
  return number(content.size(), bytes) + content;
}
std::string extension(unsigned type, const std::string& content) {
  return number(type, 2) + piece(content, 2);
}
std::string server_name(const std::string& name) {
  return extension(0, piece(number(0, 1) + piece(name, 2), 2));
}
std::string message(const std::string& extensions) {
  const std::string body = number(0x0303, 2) + std::string(32, 'r') + piece("", 1) +
                           piece(number(0x1301, 2), 2) + piece(number(0, 1), 1) +
                           piece(extensions, 2);
  return number(1, 1) + piece(body, 3);
}
std::string record(const std::string& content) {
  return number(22, 1) + number(0x0301, 2) + piece(content, 2);
}

std::string error_of(const std::string& bytes) {
  const auto parsed = parse_client_hello(bytes);
  return parsed.has_value() ? "" : parsed.error().text();
}

TEST(ParseClientHello, ReadsNameAndProtocols) {
  const std::string alpn = extension(16, piece(piece("h2", 1) + piece("http/1.1", 1), 2));
  const auto hello = parse_client_hello(record(message(server_name("API.example.com") + alpn)));
  ASSERT_TRUE(hello.has_value()) << hello.error().text();
  ASSERT_TRUE(hello->has_value());
  EXPECT_EQ((*hello)->server_name, "api.example.com");
  EXPECT_THAT((*hello)->alpn, ElementsAre("h2", "http/1.1"));
  EXPECT_FALSE((*hello)->encrypted_name);
}

TEST(ParseClientHello, AClientMayNameNobody) {
  const auto hello = parse_client_hello(record(message("")));
  ASSERT_TRUE(hello.has_value() && hello->has_value());
  EXPECT_EQ((*hello)->server_name, "");
  EXPECT_THAT((*hello)->alpn, IsEmpty());
}

TEST(ParseClientHello, EveryBeginningOfItNeedsMore) {
  const std::string whole = record(message(server_name("example.com")));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto parsed = parse_client_hello(std::string_view(whole).substr(0, size));
    ASSERT_TRUE(parsed.has_value()) << size << ": " << parsed.error().text();
    EXPECT_FALSE(parsed->has_value()) << size;
  }
}

TEST(ParseClientHello, RecordsMayCutItAnywhere) {
  const std::string content = message(server_name("example.com"));
  for (std::size_t at = 1; at < content.size(); ++at) {
    const auto parsed =
        parse_client_hello(record(content.substr(0, at)) + record(content.substr(at)));
    ASSERT_TRUE(parsed.has_value() && parsed->has_value()) << at;
    EXPECT_EQ((*parsed)->server_name, "example.com");
  }
  std::string dust;
  for (const char c : content) dust += record(std::string(1, c));
  const auto parsed = parse_client_hello(dust);
  ASSERT_TRUE(parsed.has_value() && parsed->has_value());
}

TEST(ParseClientHello, SaysThatANameIsHidden) {
  for (const unsigned type : {0xfe0dU, 0xffceU}) {
    const auto hello =
        parse_client_hello(record(message(server_name("public.example") + extension(type, "x"))));
    ASSERT_TRUE(hello.has_value() && hello->has_value());
    EXPECT_TRUE((*hello)->encrypted_name);
  }
}

TEST(ParseClientHello, RefusesWhatServersMayReadDifferently) {
  const std::string name = server_name("example.com");
  EXPECT_THAT(error_of(record(message(name + server_name("other.com")))), HasSubstr("twice"));
  const std::string both =
      number(0, 1) + piece("a.example", 2) + number(0, 1) + piece("b.example", 2);
  EXPECT_THAT(error_of(record(message(extension(0, piece(both, 2))))), HasSubstr("more than one"));
  EXPECT_THAT(error_of(record(message(server_name("192.0.2.1")))), HasSubstr("reads as a number"));
  EXPECT_THAT(error_of(record(message(server_name(std::string("a\0b", 3))))),
              HasSubstr("letters, digits"));
  EXPECT_THAT(error_of(record(message(name) + "x")), HasSubstr("something follows"));
}

TEST(ParseClientHello, RefusesWhatIsNoTls) {
  EXPECT_THAT(error_of("GET / HTTP/1.1\r\n\r\n"), HasSubstr("no handshake"));
  EXPECT_THAT(error_of("S"), HasSubstr("no handshake"));
  EXPECT_THAT(error_of(number(22, 1) + number(0x0203, 2) + piece("x", 2)), HasSubstr("no version"));
  EXPECT_THAT(error_of(record(number(2, 1) + piece("", 3))), HasSubstr("another message"));
  EXPECT_THAT(error_of(number(22, 1) + number(0x0301, 2) + number(0, 2)), HasSubstr("length"));
  EXPECT_THAT(error_of(record(number(1, 1) + number(kMaxClientHello + 1, 3))),
              HasSubstr("too long"));
}

TEST(ParseClientHello, WaitsForNoEndlessOne) {
  std::string bytes;
  while (bytes.size() < 2 * kMaxClientHello) bytes += record(number(1, 1)).substr(0, 6);
  EXPECT_FALSE(parse_client_hello(bytes).has_value());
}

}  // namespace
}  // namespace agentvm::egress
