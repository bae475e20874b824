#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runtime/disks/image.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class DiskImageTest : public ::testing::Test {
 protected:
  DiskImageTest() { fs::create_directories(place_.directory); }

  Result<DiskImage> open(std::uint64_t size_mib = 1024) const {
    return open_disk(place_, size_mib, dir_ / "templates");
  }
  std::string error() const {
    const auto opened = open();
    return opened ? "no error" : opened.error().text();
  }
  [[nodiscard]] std::string path() const { return place_.directory + "/" + place_.name; }
  [[nodiscard]] std::string said(const std::string& what) const {
    return "disk '" + path() + "': " + what;
  }

  TempDir dir_;
  DiskPlace place_{dir_ / "layer", kDiskFile, true};
};

TEST_F(DiskImageTest, IsAnEmptyFileSystemThatTakesNextToNothing) {
  {
    const auto image = open();
    ASSERT_TRUE(image) << image.error().text();
    EXPECT_EQ(image->size_mib, 1024U);
    EXPECT_EQ(image->path, path());
  }
  EXPECT_EQ(fs::file_size(path()), std::uint64_t{1024} << 20);
  EXPECT_LE(used_mib(path()).value(), 4U);
  // The magic number of ext4's superblock.
  std::ifstream file(path());
  file.seekg(1024 + 0x38);
  EXPECT_EQ(file.get(), 0x53);
  EXPECT_EQ(file.get(), 0xef);
  // Nothing but the template stays.
  std::vector<std::string> left;
  for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) {
    if (entry.is_regular_file()) left.push_back(entry.path().filename());
  }
  EXPECT_THAT(left, ::testing::UnorderedElementsAre("template-1024.ext4", kDiskFile));
}

TEST_F(DiskImageTest, KeepsItsContentAndItsSize) {
  {
    const auto image = open();
    ASSERT_TRUE(image) << image.error().text();
    ASSERT_EQ(::pwrite(image->fd.get(), "mine", 4, 512 << 20), 4);
  }
  const auto again = open(2048);
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_EQ(again->size_mib, 1024U);
  char bytes[4];
  ASSERT_EQ(::pread(again->fd.get(), bytes, 4, 512 << 20), 4);
  EXPECT_EQ(std::string(bytes, 4), "mine");
}

TEST_F(DiskImageTest, BelongsToOneAtATime) {
  auto first = open();
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_EQ(error(), said("another container has it"));
  // Whoever has a duplicate, as QEMU does, still has it.
  UniqueFd duplicate(::fcntl(first->fd.get(), F_DUPFD_CLOEXEC, 3));
  first->fd.reset();
  EXPECT_EQ(error(), said("another container has it"));
  duplicate.reset();
  EXPECT_EQ(error(), "no error");
}

TEST_F(DiskImageTest, TakesNothingThatAGuestMayHavePutThere) {
  const std::string secret = dir_.write("secret", std::string(64 << 20, 'x'), 0600);
  fs::create_symlink(secret, path());
  EXPECT_THAT(error(), HasSubstr("Too many levels of symbolic links"));
  fs::remove(path());
  fs::create_hard_link(secret, path());
  const std::string refused = said("it is no image of a disk: remove it, if it is not needed");
  EXPECT_EQ(error(), refused);
  fs::remove(path());
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  EXPECT_EQ(error(), refused);
  fs::remove(path());
  fs::copy_file(secret, path());
  ASSERT_EQ(::chmod(path().c_str(), 0644), 0);
  EXPECT_EQ(error(), refused);
  ASSERT_EQ(::chmod(path().c_str(), 0600), 0);
  ASSERT_EQ(::truncate(path().c_str(), 4096), 0);
  EXPECT_EQ(error(), refused);
}

TEST_F(DiskImageTest, SaysWhatAHostCannotDo) {
  place_.directory = dir_ / "gone";
  // Docker would take "no such file or directory" for a missing program.
  EXPECT_THAT(error(),
              ::testing::AllOf(HasSubstr("ENOENT"), ::testing::Not(HasSubstr("No such file"))));
  EXPECT_FALSE(fs::exists(dir_ / "gone"));
}

}  // namespace
}  // namespace agentvm::runtime
