#include "shim/rootfs.h"

#include <gtest/gtest.h>

#include "tests/temp_dir.h"

namespace agentvm::shim {
namespace {

using Options = std::vector<std::string>;

TEST(RootfsMount, LayersAreNamedFromTheirCommonDirectory) {
  const auto layers = shorten_layers(
      Options{"index=off", "workdir=/s/9/work", "upperdir=/s/9/fs", "lowerdir=/s/12/fs:/s/1/fs"});
  EXPECT_EQ(layers.directory, "/s/");
  EXPECT_EQ(layers.options,
            (Options{"index=off", "workdir=/s/9/work", "upperdir=/s/9/fs", "lowerdir=12/fs:1/fs"}));
}

TEST(RootfsMount, LayersThatGainNothingStayAsTheyAre) {
  for (const char* lower :
       {"lowerdir=/s/1/fs", "lowerdir=/a:/b", "lowerdir=/s/a\\:b:/s/c", "lowerdir=rel:rel2"}) {
    const Options options{lower};
    EXPECT_EQ(shorten_layers(options).directory, "") << lower;
    EXPECT_EQ(shorten_layers(options).options, options);
  }
}

TEST(RootfsMount, UnmountsWhatIsNoMountAndWhatIsNot) {
  const TempDir scratch;
  EXPECT_TRUE(unmount_rootfs(scratch.path()));
  EXPECT_TRUE(unmount_rootfs(scratch / "missing"));
}

}  // namespace
}  // namespace agentvm::shim
