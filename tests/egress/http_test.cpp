// HTTP/1.1 through the gateway: real clients, real servers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/egress/http_world.h"

namespace agentvm::egress {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string base64(const std::string& text) {
  e2e::CommandOptions options;
  options.input = text;
  return e2e::run_command({"base64", "-w0"}, options).out;
}

TEST(Http, GoesThroughOpenedTlsWithTheHostsKey) {
  const HttpWorld world;
  const auto got = world.curl(
      {"-i", "--http1.1", "-H", "x-api-key: proxy-managed", "https://server.test/a?secret=1"});
  ASSERT_EQ(got.status, 0) << got.err;
  EXPECT_THAT(got.out,
              AllOf(HasSubstr(R"("x-api-key":"real-api-key")"), HasSubstr(R"("url":"/a?secret=1")"),
                    HasSubstr("x-echo: you sent proxy-managed")));
  EXPECT_THAT(world.records(1), ElementsAre(AllOf(StartsWith("allow server.test GET /a "),
                                                  EndsWith(" main: "), Not(HasSubstr("secret")))));
  // In the clear no key goes anywhere, neither ours nor the guest's.
  EXPECT_THAT(world.curl({"http://server.test/b"}).out, Not(HasSubstr("real-api-key")));
  EXPECT_THAT(world.curl({"-H", "X-Api-Key: own", "http://server.test/b"}).out,
              HasSubstr("it travels over TLS alone"));
  EXPECT_THAT(world.curl({"--http1.1", "-H", "X-Api-Key: p", "https://keyless.test/"}).out,
              HasSubstr("agentvm sandbox secret set keyless"));
}

TEST(Http, KeepsConnectionsThroughAnswersOfEveryKind) {
  const HttpWorld world;
  const std::string at = "https://free.test";
  const auto got = world.curl({"--http1.1",
                               "-w",
                               "%{http_code} %{num_connects}\n",
                               "-o",
                               "/dev/null",
                               "--next",
                               "--http1.1",
                               "-sS",
                               "--cacert",
                               world.authority(),
                               "--connect-to",
                               "::127.0.0.1:" + world.gateway_port(),
                               "-w",
                               "%{http_code} %{num_connects}\n",
                               "-o",
                               "/dev/null",
                               "-o",
                               "/dev/null",
                               "-o",
                               "/dev/null",
                               at + "/a",
                               at + "/status/204",
                               at + "/status/304"});
  // The first transfer of this command line has no URL; the three behind it share a connection.
  EXPECT_THAT(got.out, EndsWith("200 1\n204 0\n304 0\n")) << got.err;
  const auto head = world.curl({"--http1.1", "-I", at + "/a"});
  EXPECT_THAT(head.out, StartsWith("HTTP/1.1 200 OK")) << head.err;
  // Chunked with a trailer; a value in it is scrubbed where it was put in.
  EXPECT_THAT(world.curl({"--http1.1", "-i", "https://server.test/trailers"}).out,
              AllOf(HasSubstr("one"), HasSubstr("x-sum: proxy-managed")));
}

TEST(Http, PassesBodiesOfEverySizeUnchanged) {
  const HttpWorld world;
  const std::string file = world.directory().write("body", std::string(3'000'000, 'y'));
  const auto sum = e2e::run_command({"sha256sum", file}).out.substr(0, 64);
  for (const char* framing : {"Content-Length: 3000000", "Transfer-Encoding: chunked"}) {
    const auto got = world.curl(
        {"--http1.1", "-T", file, "-H", framing, "-H", "Expect:", "https://free.test/up"});
    EXPECT_THAT(got.out, HasSubstr(sum)) << framing << got.err;
  }
  // curl waits for 100 before it sends.
  EXPECT_THAT(world.curl({"--http1.1", "-i", "-T", file, "https://free.test/up"}).out,
              AllOf(StartsWith("HTTP/1.1 100 Continue"), HasSubstr(sum)));
  // An answer that comes before the body was sent.
  EXPECT_THAT(world.curl({"--http1.1", "-i", "-T", file, "https://free.test/early"}).out,
              HasSubstr("too much"));
  EXPECT_THAT(world
                  .curl({"--http1.1", "-o", "/dev/null", "-w", "%{size_download}",
                         "https://free.test/big/20000000"})
                  .out,
              EndsWith("20000000"));
}

TEST(Http, ForwardsAnEventTheMomentItComes) {
  const HttpWorld world;
  for (const std::string scheme : {"http", "https"}) {
    const std::string at = scheme + "://free.test/events/" + scheme;
    e2e::Background listener({"curl", "-sSN", "--http1.1", "-m", "60", "--cacert",
                              world.authority(), "--connect-to",
                              "::127.0.0.1:" + world.gateway_port(), at});
    // The second event is sent when the first has been received.
    ASSERT_TRUE(listener.wait_for_output("data: 1\n\n"));
    EXPECT_EQ(world.curl({"--http1.1", at + "/go"}).out, "sent\n");
    EXPECT_TRUE(listener.wait_for_output("data: 2\n\n"));
  }
}

TEST(Http, TellsTheServerWhenTheGuestNoLongerListens) {
  const HttpWorld world;
  {
    e2e::Background listener(
        {"curl", "-sSN", "--http1.1", "-m", "60", "--cacert", world.authority(), "--connect-to",
         "::127.0.0.1:" + world.gateway_port(), "https://free.test/events/left"});
    ASSERT_TRUE(listener.wait_for_output("data: 1\n\n"));
  }
  std::string waiting = "yes\n";
  for (int i = 0; i < 200 && waiting == "yes\n"; ++i) {
    waiting = world.curl({"--http1.1", "https://free.test/waiting/left"}).out;
  }
  EXPECT_EQ(waiting, "no\n");
}

TEST(Http, BecomesATunnelForWebSockets) {
  const HttpWorld world;
  const int fd = world.connect();
  write_text(fd,
             "GET /ws HTTP/1.1\r\nHost: free.test\r\nConnection: Upgrade\r\n"
             "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Sec-WebSocket-Version: 13\r\n\r\nright behind");
  const std::string head = read_until(fd, "right behind");
  EXPECT_THAT(head, AllOf(StartsWith("HTTP/1.1 101 Switching Protocols\r\n"),
                          HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
                          EndsWith("\r\n\r\nright behind")));
  write_text(fd, "\x81\x05hello");
  EXPECT_EQ(read_until(fd, "hello"), "\x81\x05hello");
  // Half-closed, the other direction goes on to its end.
  write_text(fd, "last");
  ::shutdown(fd, SHUT_WR);
  EXPECT_EQ(read_until(fd, {}), "last");
  ::close(fd);
  EXPECT_THAT(world.records(1), ElementsAre(StartsWith("allow free.test GET /ws ")));
}

TEST(Http, RefusesWithReasonsAndGoesOn) {
  const HttpWorld world;
  const auto denied =
      world.curl({"--http1.1", "-w", "%{num_connects}\n", "https://server.test/denied/a",
                  "https://server.test/fine", "-H", "Accept: application/json"});
  EXPECT_THAT(denied.out, AllOf(HasSubstr(R"("rule":"deny server.test /denied/**")"),
                                HasSubstr(R"("how_to_allow":"remove that rule from 'user'")"),
                                HasSubstr(R"("url":"/fine")"), EndsWith("}\n0\n")));
  EXPECT_THAT(world.curl({"http://denied.test/"}).out,
              AllOf(HasSubstr("no rule allows it"),
                    HasSubstr("agentvm sandbox policy allow --sandbox web denied.test:80")));
  EXPECT_THAT(world.curl({"http://unpinned.test/"}).out,
              HasSubstr("93.184.216.34 is no address of unpinned.test"));
  EXPECT_THAT(world
                  .curl({"--http1.1", "-w", "%{http_code}", "https://free.test/", "-H",
                         "Host: server.test"})
                  .out,
              AllOf(HasSubstr("the connection is for free.test, the request for server.test"),
                    EndsWith("421")));
  EXPECT_THAT(world.curl({"--http1.1", "https://wrong.test/"}).out,
              HasSubstr("its certificate is not valid: hostname mismatch"));
  EXPECT_THAT(world.curl({"--http1.1", "-w", "%{http_code}", "https://gone.test/"}).out,
              AllOf(HasSubstr("nobody is there"), EndsWith("502")));
}

TEST(Http, LetsNoSmugglingThrough) {
  const HttpWorld world;
  const std::string get = "GET /a HTTP/1.1\r\nHost: free.test\r\n";
  const std::string post = "POST /a HTTP/1.1\r\nHost: free.test\r\n";
  const struct {
    std::string bytes;
    const char* why;
  } kTable[] = {
      {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "both Content-Length and Transfer-Encoding"},
      {post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "more than one Content-Length"},
      {get + "Host: server.test\r\n\r\n", "more than one Host"},
      {"GET /a HTTP/1.1\r\n\r\n", "no Host"},
      {get + "A: b\n\r\n", "a line feed without a return"},
      {get + " folded\r\n\r\n", "obsolete folding"},
      {"GET http://server.test/ HTTP/1.1\r\nHost: free.test\r\n\r\n", "its Host differ"},
      {"CONNECT server.test:443 HTTP/1.1\r\nHost: free.test\r\n\r\n", "is no path"},
      {post + "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n",
       "a chunk is longer than its size"},
      {get + "A: " + std::string(70'000, 'b') + "\r\n\r\n", "more than 65536 bytes"},
  };
  std::size_t count = 0;
  for (const auto& [bytes, why] : kTable) {
    EXPECT_THAT(world.exchange(bytes), AllOf(StartsWith("HTTP/1.1 400 Bad Request\r\n"),
                                             HasSubstr("Connection: close\r\n"), HasSubstr(why)))
        << bytes.substr(0, 60);
    EXPECT_THAT(world.records(++count).back(), HasSubstr(why));
  }
  // What was malformed within its body had a head that was fine; nothing else reached the server.
  EXPECT_EQ(world.curl({"http://free.test/seen"}).out, "2\n");
}

TEST(Http, AnswersPipelinedRequestsOneAfterTheOther) {
  const HttpWorld world;
  const std::string request = "GET /status/200 HTTP/1.1\r\nHost: free.test\r\n";
  std::string all;
  for (int i = 0; i < 50; ++i) all += request + "\r\n";
  const std::string answer = world.exchange(all + request + "Connection: close\r\n\r\n");
  std::size_t bodies = 0;
  for (std::size_t at = answer.find("body\n"); at != std::string::npos;
       at = answer.find("body\n", at + 1)) {
    ++bodies;
  }
  EXPECT_EQ(bodies, 51U);
}

TEST(Http, BelievesNoMalformedAnswer) {
  const HttpWorld world;
  const struct {
    std::string bytes, meant;
  } kTable[] = {
      {"HTTP/1.1 200 OK\r\nX-Key: is real-raw-key\r\nContent-Length: 2\r\n\r\nok", "ok"},
      {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end",
       "to the end"},
      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "changed the protocol without being asked"},
      {"HTTP/1.1 200 OK\r\n folded\r\n\r\n", "obsolete folding"},
      {"HTTP/1.1 200 OK\nA: b\n\n", "a line feed without a return"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
       "two lengths that differ"},
      {"SSH-2.0-OpenSSH\r\n\r\n", "the version is neither HTTP/1.1 nor HTTP/1.0"},
      {"HTTP/1.1 200", "it closed the connection within its answer"},
  };
  for (const auto& [bytes, meant] : kTable) {
    const auto got =
        world.curl({"--http1.1", "-i", "-H", "X-Answer: " + base64(bytes), "https://raw.test/"});
    EXPECT_THAT(got.out, AllOf(HasSubstr(meant), Not(HasSubstr("real-raw-key")))) << bytes;
  }
  // Half a body is not taken for a whole one.
  const auto cut = world.curl(
      {"--http1.1", "-H", "X-Answer: " + base64("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"),
       "https://raw.test/"});
  EXPECT_NE(cut.status, 0);
}

TEST(Http, ClonesAndPushesWithATokenThatIsNeverInside) {
  const HttpWorld world;
  const std::string bare = world.directory() / "git/project.git";
  const std::string clone = world.directory() / "clone";
  e2e::CommandOptions options;
  options.environment = {"GIT_CONFIG_NOSYSTEM=1", "HOME=" + world.directory().path(),
                         "GIT_TERMINAL_PROMPT=0", "GIT_SSL_CAINFO=" + world.authority(),
                         "GIT_AUTHOR_NAME=a",     "GIT_AUTHOR_EMAIL=a@b",
                         "GIT_COMMITTER_NAME=a",  "GIT_COMMITTER_EMAIL=a@b"};
  const auto git = [&](std::vector<std::string> arguments) {
    std::vector<std::string> argv = {
        "git", "-c", "http.curloptResolve=git.test:" + world.gateway_port() + ":127.0.0.1", "-c",
        "init.defaultBranch=main"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return e2e::run_command(argv, options);
  };
  ASSERT_EQ(git({"init", "--bare", bare}).status, 0);
  ASSERT_EQ(git({"-C", bare, "config", "http.receivepack", "true"}).status, 0);
  const std::string url = "https://git.test:" + world.gateway_port() + "/git/project.git";
  const auto cloned = git({"clone", url, clone});
  ASSERT_EQ(cloned.status, 0) << cloned.err;
  world.directory().write("clone/file", std::string(3'000'000, 'z'));
  ASSERT_EQ(git({"-C", clone, "add", "file"}).status, 0);
  ASSERT_EQ(git({"-C", clone, "commit", "-m", "one"}).status, 0);
  const auto pushed = git({"-C", clone, "push", "origin", "HEAD:main"});
  EXPECT_EQ(pushed.status, 0) << pushed.err;
  EXPECT_THAT(git({"-C", bare, "log", "--oneline", "main"}).out, HasSubstr("one"));
}

TEST(Http, ServesTwoHundredConnectionsInLittleMemory) {
  const HttpWorld world;
  std::vector<int> fds;
  for (int i = 0; i < 200; ++i) {
    fds.push_back(world.connect());
    write_text(fds.back(), "GET /a HTTP/1.1\r\nHost: free.test\r\n\r\n");
  }
  for (const int fd : fds) {
    EXPECT_THAT(read_until(fd, "}\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  }
#ifndef AGENTVM_SANITIZED  // which keeps what was freed
  EXPECT_LT(world.gateway_rss_kib(), 20U * 1024);
#endif
  for (const int fd : fds) ::close(fd);
}

}  // namespace
}  // namespace agentvm::egress
