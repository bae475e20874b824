// HTTP/2 through the gateway: real clients, real servers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/egress/http_world.h"

namespace agentvm::egress {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(Http2, GivesEveryStreamItsKeyAndItsDecision) {
  const HttpWorld world;
  const auto got = world.curl({"-i", "-H", "x-api-key: proxy-managed", "-w", "%{num_connects}\n",
                               "https://server.test/a?secret=1", "https://server.test/denied/a",
                               "https://server.test/trailers"});
  ASSERT_EQ(got.status, 0) << got.err;
  EXPECT_THAT(got.out, AllOf(StartsWith("HTTP/2 200"), HasSubstr(R"("version":"2.0")"),
                             HasSubstr(R"("x-api-key":"real-api-key")"),
                             HasSubstr("x-echo: you sent proxy-managed"),
                             HasSubstr("rule: deny server.test /denied/**\n"),
                             HasSubstr("x-sum: proxy-managed"), EndsWith("0\n")));
  const auto records = world.records(3);
  ASSERT_EQ(records.size(), 3U);
  EXPECT_THAT(records[0], AllOf(StartsWith("allow server.test GET /a "), EndsWith(" main: "),
                                Not(HasSubstr("secret"))));
  EXPECT_THAT(records[1], StartsWith("deny server.test GET /denied/a "));
  EXPECT_THAT(world.curl({"-H", "X-Api-Key: own", "https://keyless.test/"}).out,
              HasSubstr("agentvm sandbox secret set keyless"));
}

TEST(Http2, GoesOnlyWhereItsConnectionGoes) {
  const HttpWorld world;
  const auto fronted = world.curl(
      {"-w", "%{http_version} %{http_code}", "-H", "Host: server.test", "https://free.test/"});
  EXPECT_THAT(fronted.out,
              AllOf(HasSubstr("the connection is for free.test, the request for server.test"),
                    EndsWith("2 421")));
}

TEST(Http2, ServesManyStreamsAtATimeOverOneConnection) {
  const HttpWorld world;
  const auto got = world.curl({"-Z", "--parallel-max", "80", "-o", "/dev/null", "-w",
                               "%{http_version} %{http_code} %{num_connects}\n",
                               "https://free.test/big/50000?[1-200]"});
  ASSERT_EQ(got.status, 0) << got.err;
  std::size_t connects = 0, answers = 0;
  for (std::size_t at = got.out.find("2 200 "); at != std::string::npos;
       at = got.out.find("2 200 ", at + 1)) {
    ++answers;
    if (got.out[at + 6] == '1') ++connects;
  }
  EXPECT_EQ(answers, 200U);
  EXPECT_EQ(connects, 1U);
}

TEST(Http2, PassesBodiesOfEverySizeUnchanged) {
  const HttpWorld world;
  const std::string file = world.directory().write("body", std::string(3'000'000, 'y'));
  const auto sum = e2e::run_command({"sha256sum", file}).out.substr(0, 64);
  const auto up = world.curl({"-T", file, "https://free.test/up"});
  EXPECT_THAT(up.out, AllOf(HasSubstr(sum), HasSubstr(R"("version":"2.0")"))) << up.err;
  EXPECT_THAT(world.curl({"-i", "-T", file, "https://free.test/early"}).out, HasSubstr("too much"));
  EXPECT_THAT(world.curl({"-i", "-T", file, "https://server.test/denied/up"}).out,
              HasSubstr("rule: deny server.test /denied/**"));
  EXPECT_THAT(world
                  .curl({"-o", "/dev/null", "-w", "%{http_version} %{size_download}",
                         "https://free.test/big/20000000"})
                  .out,
              EndsWith("2 20000000"));
  EXPECT_THAT(world.curl({"-I", "https://free.test/a"}).out, StartsWith("HTTP/2 200"));
}

TEST(Http2, StreamsBothWaysAtOnceWithTrailers) {
  const HttpWorld world;
  const auto call = [&](const std::string& name, const std::string& path) {
    return e2e::run_command({"node", AGENTVM_EGRESS_DATA "/http2_client.mjs", world.gateway_port(),
                             world.authority(), name, path})
        .out;
  };
  EXPECT_EQ(call("free.test", "/calls"),
            "status 200\nmessage 0\nmessage 1\nmessage 2\ntrailers 0 yes\n");
  // A client of HTTP/2 alone is told too why there is nobody.
  EXPECT_THAT(call("gone.test", "/calls"),
              AllOf(StartsWith("status 502\n"), HasSubstr("nobody is there")));
}

TEST(Http2, ForwardsAnEventTheMomentItComesAndTellsWhenNobodyListens) {
  const HttpWorld world;
  {
    e2e::Background listener({"curl", "-sSN", "-m", "60", "--cacert", world.authority(),
                              "--connect-to", "::127.0.0.1:" + world.gateway_port(),
                              "https://free.test/events/a"});
    ASSERT_TRUE(listener.wait_for_output("data: 1\n\n"));
    EXPECT_EQ(world.curl({"https://free.test/events/a/go"}).out, "sent\n");
    EXPECT_TRUE(listener.wait_for_output("data: 2\n\n"));
  }
  std::string waiting = "yes\n";
  for (int i = 0; i < 200 && waiting == "yes\n"; ++i) {
    waiting = world.curl({"https://free.test/waiting/a"}).out;
  }
  EXPECT_EQ(waiting, "no\n");
}

TEST(Http2, IsSpokenOnlyWhereTheUpstreamSpeaksIt) {
  const HttpWorld world;
  // "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
  const auto got = world.curl(
      {"--http2", "-w", " %{http_version}", "-H",
       "X-Answer: SFRUUC8xLjEgMjAwIE9LDQpDb250ZW50LUxlbmd0aDogMg0KDQpvaw==", "https://raw.test/"});
  EXPECT_EQ(got.out, "ok 1.1") << got.err;
}

TEST(Http2, BoundsHeadersAndGoesOn) {
  const HttpWorld world;
  const std::string flood =
      world.directory().write("flood", "header = \"A: " + std::string(90'000, 'a') + "\"\n");
  const auto got = world.curl({"-K", flood, "https://free.test/"});
  EXPECT_NE(got.status, 0);
  EXPECT_THAT(world.curl({"https://free.test/seen"}).out, "1\n");
}

}  // namespace
}  // namespace agentvm::egress
