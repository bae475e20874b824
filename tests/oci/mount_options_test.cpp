#include "oci/mount_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>

#include <algorithm>

namespace agentvm::oci {
namespace {

MountOptions parsed(std::vector<std::string> options) {
  const auto out = parse_mount_options(options);
  EXPECT_TRUE(out) << out.error().text();
  return out.value_or(MountOptions{});
}

TEST(ParseMountOptions, SplitsFlagsFromData) {
  const MountOptions out = parsed({"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"});
  EXPECT_EQ(out.flags, MS_NOSUID | MS_NOEXEC | MS_NODEV);
  EXPECT_EQ(out.data, "mode=1777,size=65536k");
  EXPECT_FALSE(out.bind());
}

TEST(ParseMountOptions, LetsTheLaterOptionWin) {
  MountOptions out = parsed({"ro", "suid", "rw", "nosuid"});
  EXPECT_EQ(out.flags, MS_NOSUID);
  EXPECT_EQ(out.cleared, MS_RDONLY);
  EXPECT_FALSE(out.read_only());
  out = parsed({"rw", "ro"});
  EXPECT_TRUE(out.read_only());
  EXPECT_EQ(out.cleared, 0U);
}

TEST(ParseMountOptions, ReadsBindsAndPropagation) {
  const MountOptions out = parsed({"rbind", "rprivate", "slave"});
  EXPECT_TRUE(out.bind());
  EXPECT_TRUE(out.recursive_bind());
  EXPECT_THAT(out.propagation, testing::ElementsAre(MS_PRIVATE | MS_REC, MS_SLAVE));
  EXPECT_EQ(out.data, "");
  EXPECT_FALSE(parsed({"bind"}).recursive_bind());
}

TEST(ParseMountOptions, SetsAndClearsAttributesOfTheWholeTree) {
  MountOptions out = parsed({"rro", "rnosuid", "rexec"});
  EXPECT_EQ(out.recursive_set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
  EXPECT_EQ(out.recursive_clear, MOUNT_ATTR_NOEXEC);
  EXPECT_FALSE(out.read_only());  // the flag of mount(2) would be of one mount only
  out = parsed({"rro", "rrw"});
  EXPECT_EQ(out.recursive_set, 0U);
  EXPECT_EQ(out.recursive_clear, MOUNT_ATTR_RDONLY);
  out = parsed({"rrw", "rro"});
  EXPECT_EQ(out.recursive_set, MOUNT_ATTR_RDONLY);
  EXPECT_EQ(out.recursive_clear, 0U);
}

TEST(ParseMountOptions, TreatsAccessTimesAsOneField) {
  // mount_setattr(2) refuses to set one of its values without clearing the field.
  MountOptions out = parsed({"rnoatime"});
  EXPECT_EQ(out.recursive_set, MOUNT_ATTR_NOATIME);
  EXPECT_EQ(out.recursive_clear, MOUNT_ATTR__ATIME);
  out = parsed({"rnoatime", "rstrictatime"});
  EXPECT_EQ(out.recursive_set, MOUNT_ATTR_STRICTATIME);
  EXPECT_EQ(out.recursive_clear, MOUNT_ATTR__ATIME);
  out = parsed({"rstrictatime", "rrelatime", "rnodiratime"});
  EXPECT_EQ(out.recursive_set, MOUNT_ATTR_NODIRATIME);
  EXPECT_EQ(out.recursive_clear, MOUNT_ATTR__ATIME);
}

TEST(ParseMountOptions, ReadsItsOwnSwitches) {
  MountOptions out = parsed({"tmpcopyup", "defaults", ""});
  EXPECT_TRUE(out.tmpcopyup);
  EXPECT_FALSE(out.idmap);
  EXPECT_EQ(out.flags, 0U);
  EXPECT_EQ(out.data, "");
  EXPECT_TRUE(parsed({"idmap"}).idmap);
  EXPECT_FALSE(parsed({"idmap"}).recursive_idmap);
  out = parsed({"ridmap"});
  EXPECT_TRUE(out.idmap && out.recursive_idmap);
}

TEST(ParseMountOptions, RefusesDataThatMountWouldCut) {
  const std::vector<std::string> options = {std::string(2048, 'a'), std::string(2047, 'b')};
  EXPECT_EQ(parse_mount_options(options).error().text(),
            "mount options for the file system have more than 4095 bytes");
  EXPECT_TRUE(parse_mount_options(std::vector{std::string(4095, 'a')}));
}

TEST(KnownMountOptions, HasAllOfRuncsAndEachIsTaken) {
  const auto known = known_mount_options();
  EXPECT_TRUE(std::ranges::is_sorted(known));
  EXPECT_EQ(std::ranges::adjacent_find(known), known.end());
  EXPECT_THAT(known, testing::IsSupersetOf({"acl", "async", "bind", "defaults", "iversion", "loud",
                                            "nosymfollow", "rro", "rrw", "rsuid", "rsymfollow",
                                            "runbindable", "silent", "tmpcopyup", "ridmap"}));
  for (const std::string_view word : known) {
    EXPECT_EQ(parsed({std::string(word)}).data, "") << word;
  }
}

TEST(KnownMountOptions, MatchesTheKernelsNamesForEachOther) {
  // "x" undoes "nox" and "rx" undoes "rnox": nothing stays set.
  const auto known = known_mount_options();
  for (const std::string_view word : known) {
    if (!word.starts_with("no")) continue;
    const std::string positive(word.substr(2));
    if (!std::ranges::binary_search(known, positive)) continue;
    EXPECT_EQ(parsed({std::string(word), positive}).flags | parsed({positive}).flags,
              parsed({positive}).flags)
        << word;
  }
}

}  // namespace
}  // namespace agentvm::oci
