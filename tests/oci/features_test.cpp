#include "oci/features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/base/json_reader.h"

namespace agentvm::oci {
namespace {

std::vector<std::string> words(JsonValue list) {
  std::vector<std::string> out;
  EXPECT_TRUE(read_json(list, out));
  return out;
}

TEST(Features, AnnouncesWhatTheRuntimeHonours) {
  const auto document = JsonDocument::parse(write_features(
      {.version = "0.1.0", .commit = "abc", .seccomp = true, .seccomp_version = "2.5.4"}, 4));
  ASSERT_TRUE(document) << document.error().text();
  const JsonValue root = document->root();
  EXPECT_EQ(root.find("ociVersionMin")->as_string(), "1.0.0");
  EXPECT_EQ(root.find("ociVersionMax")->as_string(), "1.2.1");
  EXPECT_EQ(words(*root.find("hooks")).size(), 6U);
  EXPECT_THAT(words(*root.find("mountOptions")), testing::IsSupersetOf({"rro", "idmap", "ro"}));
  const JsonValue lin = *root.find("linux");
  EXPECT_EQ(words(*lin.find("namespaces")).size(), 8U);
  EXPECT_EQ(words(*lin.find("capabilities")).size(), 41U);
  EXPECT_THAT(words(*lin.find("seccomp")->find("actions")),
              testing::AllOf(testing::Contains("SCMP_ACT_ERRNO"),
                             testing::Not(testing::Contains("SCMP_ACT_NOTIFY"))));
  EXPECT_EQ(lin.find("apparmor")->find("enabled")->as_bool(), false);
  EXPECT_EQ(lin.find("mountExtensions")->find("idmap")->find("enabled")->as_bool(), true);
  EXPECT_EQ(root.find("annotations")->find("org.agentvm.commit")->as_string(), "abc");
  EXPECT_EQ(root.find("annotations")->find("io.github.seccomp.libseccomp.version")->as_string(),
            "2.5.4");
}

TEST(Features, SaysWhenSeccompIsMissing) {
  const auto document = JsonDocument::parse(
      write_features({.version = "0.1.0", .annotations = {{"org.agentvm.x", "y"}}}));
  ASSERT_TRUE(document);
  const JsonValue seccomp = *document->root().find("linux")->find("seccomp");
  EXPECT_EQ(seccomp.find("enabled")->as_bool(), false);
  EXPECT_FALSE(seccomp.find("actions"));
  EXPECT_EQ(document->root().find("annotations")->find("org.agentvm.x")->as_string(), "y");
}

}  // namespace
}  // namespace agentvm::oci
