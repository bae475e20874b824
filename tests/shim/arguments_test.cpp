#include "shim/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shim/names.h"

namespace agentvm::shim {
namespace {

Result<Arguments> parse(std::vector<std::string_view> words) {
  return parse_arguments(words);
}

TEST(ShimArguments, AreContainerdsOwn) {
  const auto start =
      parse({"-namespace", "k8s.io", "-address", "/run/containerd/containerd.sock",
             "-publish-binary", "/usr/bin/containerd", "-id", "web", "-debug", "start"});
  ASSERT_TRUE(start) << start.error().text();
  EXPECT_EQ(*start, (Arguments{Action::start, "k8s.io", "web", "/run/containerd/containerd.sock",
                               "", true}));
  const auto remove =
      parse({"-namespace=moby", "--id=a", "-address", "", "-bundle", "/b", "delete"});
  ASSERT_TRUE(remove) << remove.error().text();
  EXPECT_EQ(*remove, (Arguments{Action::remove, "moby", "a", "", "/b", false}));
  EXPECT_EQ(parse({"-namespace", "n", "-id", "a"})->action, Action::serve);
  EXPECT_EQ(parse({"-info"})->action, Action::info);
  EXPECT_EQ(parse({"-v"})->action, Action::version);
}

TEST(ShimArguments, ThatBecomePathsAreNames) {
  EXPECT_EQ(parse({"-id", "a", "start"}).error().text(), "shim namespace cannot be empty");
  for (const char* bad : {"", "..", "a/b", ".hidden", "a b"}) {
    EXPECT_EQ(parse({"-namespace", "n", "-id", bad, "start"}).error().kind,
              ErrorKind::invalid_argument)
        << bad;
    EXPECT_EQ(parse({"-namespace", bad, "-id", "a", "start"}).error().kind,
              ErrorKind::invalid_argument)
        << bad;
  }
  EXPECT_FALSE(parse({"-namespace", std::string_view(std::string(200, 'n')), "-id", "a"}));
}

TEST(ShimArguments, ThatAreNotKnownAreRefusedByName) {
  EXPECT_EQ(parse({"-speed", "9", "start"}).error().text(), "unknown flag -speed");
  EXPECT_EQ(parse({"-namespace", "n", "-id", "a", "restart"}).error().text(),
            "unknown action 'restart'");
  EXPECT_EQ(parse({"-namespace"}).error().text(), "flag -namespace needs a value");
}

TEST(ShimNames, DifferByContainerdNamespaceAndId) {
  const Names names = names_for("/run/c.sock", "moby", "web");
  EXPECT_THAT(names.socket, testing::MatchesRegex("/run/containerd/s/[0-9a-f]{32}"));
  EXPECT_THAT(names.state_root, testing::MatchesRegex("/run/agentvm-shim/moby-[0-9a-f]{8}"));
  EXPECT_EQ(names, names_for("/run/c.sock", "moby", "web"));
  EXPECT_NE(names.socket, names_for("/run/c.sock", "moby", "web2").socket);
  EXPECT_EQ(names.state_root, names_for("/run/c.sock", "moby", "web2").state_root);
  EXPECT_NE(names.socket, names_for("/run/c.sock", "k8s.io", "web").socket);
  EXPECT_NE(names.state_root, names_for("/run/c.sock", "k8s.io", "web").state_root);
  EXPECT_NE(names.socket, names_for("/run/d.sock", "moby", "web").socket);
  EXPECT_NE(names.state_root, names_for("/run/d.sock", "moby", "web").state_root);
}

}  // namespace
}  // namespace agentvm::shim
