#include "oci/container_id.h"

#include <gtest/gtest.h>

#include <string>

namespace agentvm::oci {
namespace {

std::string error_of(std::string_view id) {
  const auto checked = check_container_id(id);
  return checked ? "no error" : checked.error().text();
}

TEST(ContainerId, TakesWhatRuncTakes) {
  for (const char* id : {"web", "a", "A_b+c-d.e9", "...", ".hidden", "-dash"}) {
    EXPECT_EQ(error_of(id), "no error") << id;
  }
  EXPECT_EQ(error_of(std::string(kLongestContainerId, 'x')), "no error");
}

TEST(ContainerId, RefusesWhatCouldLeaveTheDirectory) {
  for (const char* id : {"", ".", "..", "a/b", "../x", "/", "a b", "ä", "a,b", "a:b", "a@b"}) {
    EXPECT_TRUE(error_of(id).starts_with("invalid container id format: \"")) << id;
  }
  EXPECT_EQ(error_of("a/b"), "invalid container id format: \"a/b\"");
  EXPECT_EQ(error_of(std::string_view("a\0b", 3)), "invalid container id format: \"a\\x00b\"");
  EXPECT_EQ(error_of("a\nb\"c"), "invalid container id format: \"a\\x0ab\\x22c\"");
}

TEST(ContainerId, RefusesALongOneAndShowsItsStart) {
  EXPECT_EQ(error_of(std::string(kLongestContainerId + 1, 'x')),
            "invalid container id format: \"" + std::string(64, 'x') + "…\"");
}

}  // namespace
}  // namespace agentvm::oci
