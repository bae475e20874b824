// Docker's side: answers, streams, keys. Errors of the connection are told with what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "sandbox/engine/answers.h"
#include "sandbox/engine/detach_keys.h"
#include "sandbox/engine/frames.h"
#include "tests/temp_dir.h"

namespace agentvm::sandbox {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const auto& result) {
  return result ? "" : result.error().text();
}

TEST(Frames, AreOneStreamHoweverTheyAreCut) {
  using std::string_literals::operator""s;
  const std::string stream =
      "\1\0\0\0\0\0\0\2ab"s + "\2\0\0\0\0\0\0\1c"s + "\1\0\0\0\0\0\0\0"s + "\0\0\0\0\0\0\0\1d"s;
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    std::string out;
    std::string err;
    FrameReader reader([&](int to, std::string_view bytes) {
      (to == 2 ? err : out) += bytes;
      return Result<void>();
    });
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      ASSERT_TRUE(reader.feed(stream.substr(at, piece)));
    }
    EXPECT_EQ(out, "abd");
    EXPECT_EQ(err, "c");
  }
}

TEST(Frames, AreRefusedWhenTheyAreNone) {
  FrameReader reader([](int, std::string_view) { return Result<void>(); });
  EXPECT_EQ(error_of(reader.feed("HTTP/1.1 200 OK")), "Docker's stream has a broken frame");
}

TEST(DetachKeys, AreHeldBackUntilTheyAreDecided) {
  DetachKeys keys(*parse_detach_keys("ctrl-p,ctrl-q"));
  EXPECT_EQ(keys.pass("ab\x10"), "ab");
  EXPECT_EQ(keys.pass("c"),
            "\x10"
            "c");
  EXPECT_EQ(keys.pass("\x10\x10"), "\x10");
  EXPECT_FALSE(keys.found());
  EXPECT_EQ(keys.pass("\x11more"), "");
  EXPECT_TRUE(keys.found());
}

TEST(DetachKeys, AreRefusedWithTheKeyThatIsNone) {
  EXPECT_EQ(*parse_detach_keys("a,ctrl-["), "a\x1b");
  EXPECT_EQ(error_of(parse_detach_keys("ctrl-1")),
            "detach keys: 'ctrl-1' is neither a character nor ctrl- and a letter");
  EXPECT_EQ(error_of(parse_detach_keys("")), "detach keys: none are named");
}

TEST(Answers, AreReadWithoutWhatWeDoNotAskFor) {
  const auto view = parse_container(
      R"({"Id":"abc","Name":"/web","State":{"Status":"running","ExitCode":3,"Pid":7},)"
      R"("Config":{"Image":"i","Tty":true,"Labels":{"a":"b"}},)"
      R"("NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"3000"}],)"
      R"("81/tcp":null}}})");
  ASSERT_TRUE(view) << error_of(view);
  EXPECT_EQ(view->name, "web");
  EXPECT_TRUE(view->runs());
  EXPECT_TRUE(view->tty);
  EXPECT_THAT(view->ports, ElementsAre(PublishedPort{"80/tcp", "127.0.0.1", "3000"}));
  const auto list =
      parse_containers(R"([{"Id":"abc","Names":["/web"],"State":"exited","Labels":{},)"
                       R"("Ports":[{"IP":"::1","PrivatePort":80,"PublicPort":3000,"Type":"tcp"},)"
                       R"({"PrivatePort":81,"Type":"tcp"}]}])");
  ASSERT_TRUE(list) << error_of(list);
  EXPECT_THAT(list->front().ports, ElementsAre(PublishedPort{"80/tcp", "::1", "3000"}));
  EXPECT_EQ(*parse_exec_status(R"({"Running":true,"ExitCode":null})"), std::nullopt);
  EXPECT_EQ(*parse_exec_status(R"({"Running":false,"ExitCode":4})"), 4);
  EXPECT_EQ(error_of(parse_pull_step(R"({"error":"no such image"})")), "no such image");
  EXPECT_FALSE(parse_container("[]"));
  EXPECT_FALSE(parse_info(R"({"NCPU":-1})"));
}

TEST(Answers, OfFailureKeepDockersWords) {
  EXPECT_EQ(engine_error(404, R"({"message":"No such container: x"})"),
            (Error{ErrorKind::not_found, 0, "No such container: x"}));
  EXPECT_EQ(engine_error(409, "gone\n"), (Error{ErrorKind::already_exists, 0, "gone"}));
  EXPECT_EQ(engine_error(500, "").message, "Docker answers with status 500");
}

TEST(ApiVersion, IsComparedByItsNumbers) {
  EXPECT_LT(*parse_api_version("1.9"), *parse_api_version("1.41"));
  for (const char* wrong : {"", "1", "1.", ".4", "1.x", "v1.4", "1.4.5"}) {
    EXPECT_FALSE(parse_api_version(wrong)) << wrong;
  }
}

TEST(DockerConnect, SaysWhatToDoWhenNobodyAnswers) {
  const TempDir directory;
  EXPECT_EQ(error_of(Docker::connect("unix://" + directory.path() + "/none.sock")),
            "no Docker daemon answers at " + directory.path() +
                "/none.sock: start it (systemctl start docker), or say where it is with "
                "DOCKER_HOST=unix://…");
  EXPECT_THAT(error_of(Docker::connect("tcp://1.2.3.4:2375")),
              HasSubstr("sandboxes need a Docker on this machine"));
}

}  // namespace
}  // namespace agentvm::sandbox
