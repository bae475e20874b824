#include "shim/io_uri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::shim {
namespace {

using Kind = IoUri::Kind;

TEST(IoUri, IsAPathOrAUri) {
  EXPECT_EQ(*parse_io_uri(""), IoUri{});
  EXPECT_EQ(*parse_io_uri("/run/a b%20"), (IoUri{Kind::fifo, "/run/a b%20", {}}));
  EXPECT_EQ(*parse_io_uri("fifo:///run/a"), (IoUri{Kind::fifo, "/run/a", {}}));
  EXPECT_EQ(*parse_io_uri("file:///var/log/a%20b?x=y"), (IoUri{Kind::file, "/var/log/a b", {}}));
}

TEST(IoUri, OfAProgramHasItsArguments) {
  EXPECT_EQ(*parse_io_uri("binary:///usr/bin/logger?-t=a+b&flag&x=%26"),
            (IoUri{Kind::binary, "/usr/bin/logger", {"-t", "a b", "flag", "", "x", "&"}}));
}

TEST(IoUri, ThatIsWrongIsNamed) {
  for (const auto& [text, why] : {std::pair{"relative", "not an absolute path"},
                                  {"http://host/x", "not fifo, file or binary"},
                                  {"file://relative", "not an absolute path"},
                                  {"binary://", "not an absolute path"},
                                  {"file:///a%2", "a wrong escape"},
                                  {"file:///a%00b", "a wrong escape"},
                                  {"binary:///a?%zz", "a wrong escape"}}) {
    const auto parsed = parse_io_uri(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().kind, ErrorKind::invalid_argument);
    EXPECT_THAT(parsed.error().text(), testing::EndsWith(why)) << text;
  }
  EXPECT_FALSE(parse_io_uri(std::string_view("/a\0b", 4)));
  EXPECT_FALSE(parse_io_uri("/" + std::string(20000, 'a')));
}

}  // namespace
}  // namespace agentvm::shim
