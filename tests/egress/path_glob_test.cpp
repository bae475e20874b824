#include "egress/path_glob.h"

#include <gtest/gtest.h>

namespace agentvm::egress {
namespace {

TEST(MatchesGlob, OneStarStaysWithinASegment) {
  EXPECT_TRUE(matches_glob("/repos/*/issues", "/repos/web/issues"));
  EXPECT_FALSE(matches_glob("/repos/*/issues", "/repos/a/b/issues"));
  EXPECT_TRUE(matches_glob("/v*/x", "/v/x"));
  EXPECT_FALSE(matches_glob("/*", "/a/"));
}

TEST(MatchesGlob, TwoStarsCross) {
  EXPECT_TRUE(matches_glob("/repos/**", "/repos/a/b/c"));
  EXPECT_TRUE(matches_glob("/repos/**", "/repos/"));
  EXPECT_FALSE(matches_glob("/repos/**", "/repos"));
  EXPECT_TRUE(matches_glob("/**/end", "/a/b/end"));
  EXPECT_TRUE(matches_glob("/**/a*/x", "/a/b/ab/x"));
  EXPECT_FALSE(matches_glob("/**/a*/x", "/a/b/ab/c/x"));
}

TEST(MatchesGlob, NothingElseIsSpecial) {
  EXPECT_TRUE(matches_glob("/", "/"));
  EXPECT_FALSE(matches_glob("/", ""));
  EXPECT_FALSE(matches_glob("/a", "/ab"));
  EXPECT_TRUE(matches_glob("/[a]?", "/[a]?"));
}

TEST(PlainPath, DecodesAndDropsTheQuery) {
  EXPECT_EQ(plain_path("/a%20b/c?d=/../e"), "/a b/c");
  EXPECT_EQ(plain_path("/"), "/");
  EXPECT_EQ(plain_path("/a/"), "/a/");
  EXPECT_EQ(plain_path("/%72epos/x#y"), "/repos/x");
}

TEST(PlainPath, HasNoWordForWhatServersReadDifferently) {
  for (const char* target :
       {"", "a", "/a/../b", "/a/./b", "/..", "/%2e%2e/a", "/a//b", "//a", "/a%2fb", "/a%2Fb",
        "/a%5cb", "/a\\b", "/a%00", "/a%2", "/a%zz", "/a%252fb", "/a;b/c", "http://x/y"}) {
    EXPECT_EQ(plain_path(target), std::nullopt) << target;
  }
  EXPECT_EQ(plain_path("/" + std::string(kMaxPath, 'a')), std::nullopt);
}

}  // namespace
}  // namespace agentvm::egress
