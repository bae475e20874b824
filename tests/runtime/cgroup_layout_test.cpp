#include "runtime/cgroup_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CgroupHierarchies, OfAHybridHostAreAllFound) {
  const std::string mountinfo =
      "23 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "33 31 0:30 / /sys/fs/cgroup/systemd rw shared:5 - cgroup cgroup rw,xattr,name=systemd\n"
      "34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
      "35 31 0:29 / /mnt/a\\040b rw - cgroup cgroup rw,cpu,cpuacct\n";
  const std::string self_cgroup = "2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n";
  EXPECT_THAT(parse_cgroup_hierarchies(mountinfo, self_cgroup),
              ElementsAre(CgroupHierarchy{"/sys/fs/cgroup/cpu,cpuacct", false, {"cpu", "cpuacct"}},
                          CgroupHierarchy{"/sys/fs/cgroup/systemd", false, {"name=systemd"}},
                          CgroupHierarchy{"/sys/fs/cgroup/unified", true, {}}));
}

TEST(CgroupHierarchies, AreReadFromWhateverMountinfoHolds) {
  EXPECT_THAT(parse_cgroup_hierarchies("", ""), IsEmpty());
  EXPECT_THAT(
      parse_cgroup_hierarchies("\n - \nx - cgroup2\n1 2 3 4 /m\\0 - cgroup2 a b\n", ":\n::"),
      ElementsAre(CgroupHierarchy{"/m\\0", true, {}}));
  EXPECT_THAT(parse_cgroup_hierarchies("1 2 0:1 / /a\\040b\\134 rw - cgroup2 c rw\n", ""),
              ElementsAre(CgroupHierarchy{"/a b\\", true, {}}));
}

std::string resolved(const std::string& path) {
  auto result = resolve_cgroups_path(path, "web");
  return result ? *result : result.error().text();
}

TEST(ResolveCgroupsPath, PutsTheContainerBelowTheRootOrOurParent) {
  EXPECT_EQ(resolved("/docker/abc"), "/docker/abc");
  EXPECT_EQ(resolved("//docker/./abc/"), "/docker/abc");
  EXPECT_EQ(resolved("abc"), "/agentvm/abc");
  EXPECT_EQ(resolved(""), "/web");
  EXPECT_EQ(resolved("/a/../b"), "linux.cgroupsPath '/a/../b' has a '..' part");
  EXPECT_EQ(resolved("/"), "linux.cgroupsPath '/' is the root cgroup; name one below it");
}

std::string resolved_systemd(const std::string& path) {
  auto result = resolve_systemd_path(path, "web");
  return result ? result->slice + " " + result->unit + " " + result->path : result.error().text();
}

TEST(ResolveSystemdPath, SpellsNestedSlicesOut) {
  EXPECT_EQ(resolved_systemd("system.slice:docker:abc"),
            "system.slice docker-abc.scope /system.slice/docker-abc.scope");
  EXPECT_EQ(resolved_systemd("user-1000-x.slice:cri:abc"),
            "user-1000-x.slice cri-abc.scope "
            "/user.slice/user-1000.slice/user-1000-x.slice/cri-abc.scope");
  EXPECT_EQ(resolved_systemd("-.slice:a:b"), "-.slice a-b.scope /a-b.scope");
  EXPECT_EQ(resolved_systemd(""), "system.slice agentvm-web.scope /system.slice/agentvm-web.scope");
  EXPECT_EQ(resolved_systemd(":docker:abc"),
            "system.slice docker-abc.scope /system.slice/docker-abc.scope");
}

TEST(ResolveSystemdPath, RefusesWhatNamesNoUnit) {
  EXPECT_EQ(resolved_systemd("/docker/abc"),
            "linux.cgroupsPath '/docker/abc' is not 'slice:prefix:name', as --systemd-cgroup "
            "wants it");
  EXPECT_EQ(resolved_systemd("a:b:"), "linux.cgroupsPath 'a:b:' names no unit");
  EXPECT_EQ(resolved_systemd("a.slice:b:../c"), "linux.cgroupsPath 'a.slice:b:../c' names no unit");
  EXPECT_EQ(resolved_systemd("a--b.slice:c:d"),
            "linux.cgroupsPath 'a--b.slice:c:d' names no slice: 'a--b.slice'");
  EXPECT_EQ(resolved_systemd("a:c:d"), "linux.cgroupsPath 'a:c:d' names no slice: 'a'");
}

}  // namespace
}  // namespace agentvm::runtime
