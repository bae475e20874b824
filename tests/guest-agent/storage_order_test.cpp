#include <gtest/gtest.h>

#include "guest-agent/storage.h"

namespace agentvm::guest {
namespace {

std::string error_of(StorageOrder order) {
  const auto checked = checked_storage(std::move(order));
  return checked ? "no error" : checked.error().text();
}

TEST(StorageOrder, FillsInWhatTheDriverImplies) {
  const auto share = checked_storage({"virtiofs", "shared", "/run/shared", "", {}});
  ASSERT_TRUE(share.has_value());
  EXPECT_EQ(share->fs_type, "virtiofs");
  const auto memory = checked_storage({"tmpfs", "", "/run/x", "", {"size=1m"}});
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->source, "tmpfs");
  const auto root = checked_storage({"overlay", "", "/run/root", "", {"lowerdir=/a"}});
  ASSERT_TRUE(root.has_value());
  EXPECT_EQ(root->fs_type, "overlay");
}

TEST(StorageOrder, NamesWhatIsWrong) {
  EXPECT_EQ(error_of({"nfs", "x", "/run/x", "", {}}), "storage: unknown driver 'nfs'");
  EXPECT_EQ(error_of({"virtiofs", "", "/run/x", "", {}}),
            "storage: a virtiofs share needs its tag as source");
  EXPECT_EQ(error_of({"block", "/dev/vda", "/run/x", "", {}}),
            "storage: a block device needs a file system type");
  EXPECT_EQ(error_of({"block", "/etc/passwd", "/run/x", "ext4", {}}),
            "storage: block device '/etc/passwd' is not below /dev");
  EXPECT_EQ(error_of({"tmpfs", "", "/run/x", "ext4", {}}),
            "storage: file system 'ext4' for driver 'tmpfs'");
  EXPECT_EQ(error_of({"overlay", "", "/run/x", "ext4", {}}),
            "storage: file system 'ext4' for driver 'overlay'");
}

TEST(StorageOrder, MountPointsAreAbsoluteAndPlain) {
  for (const char* path : {"", "run/x", "/", "/run/", "/run//x", "/run/../x", "/./x", "/.."}) {
    EXPECT_NE(error_of({"tmpfs", "", path, "", {}}), "no error") << path;
  }
}

}  // namespace
}  // namespace agentvm::guest
