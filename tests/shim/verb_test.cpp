#include "shim/verb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::shim {
namespace {

TEST(VerbRequest, SurvivesTheWayToItsProcess) {
  VerbRequest request;
  request.verb = Verb::exec;
  request.root = "/run/agentvm-shim/default-0";
  request.config_path = "/etc/a.toml";
  request.systemd_cgroup = true;
  request.id = "web";
  request.bundle = "/b";
  request.rootfs = {{"overlay", "overlay", {"lowerdir=/a:/b", "ro"}}, {"bind", "/x", {}}};
  request.console_socket = "/b/pty.sock";
  request.document = R"({"args":["a \" b"]})";
  const auto parsed = parse_verb_request(write_verb_request(request));
  ASSERT_TRUE(parsed) << parsed.error().text();
  EXPECT_EQ(*parsed, request);
}

TEST(VerbRequest, NamesWhatIsMissing) {
  EXPECT_THAT(parse_verb_request(R"({"verb":"create"})").error().text(),
              testing::HasSubstr("root"));
  EXPECT_FALSE(parse_verb_request(R"({"verb":"checkpoint","root":"/","id":"a","bundle":"/b"})"));
}

}  // namespace
}  // namespace agentvm::shim
