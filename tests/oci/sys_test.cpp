#include "oci/base/sys.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace agentvm::sys {
namespace {

namespace fs = std::filesystem;

// A directory of its own for each test, gone with it.
class Sys : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "sys-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
    auto fd = open_at(AT_FDCWD, name, O_PATH | O_DIRECTORY);
    ASSERT_TRUE(fd);
    root_ = std::move(*fd);
  }
  void TearDown() override { fs::remove_all(dir_); }

  void put(const fs::path& name, std::string_view text) const {
    fs::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name) << text;
  }
  std::string read_in_root(const std::string& path) const {
    auto fd = open_in_root(root_.get(), path, O_RDONLY);
    if (!fd) return fd.error().text();
    return read_all(fd->get(), 100).value_or("unreadable");
  }

  fs::path dir_;
  UniqueFd root_;
};

TEST_F(Sys, OpensNothingOutsideTheRoot) {
  put("etc/name", "inside");
  fs::create_symlink("/etc/name", dir_ / "absolute");
  fs::create_symlink("../../../../../etc/name", dir_ / "dots");
  fs::create_directory_symlink("/etc", dir_ / "folder");
  for (const char* path : {"/etc/name", "etc/name", "absolute", "dots", "folder/name",
                           "../../etc/name", "/../../../etc/name"}) {
    EXPECT_EQ(read_in_root(path), "inside") << path;
  }
  EXPECT_EQ(read_in_root("/etc/passwd"),
            "open '/etc/passwd' in the root: No such file or directory");
}

TEST_F(Sys, FollowsNoMagicLinkOutOfTheRoot) {
  auto proc = open_at(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(proc);
  const auto escaped = open_in_root(proc->get(), "self/root/etc/passwd", O_RDONLY);
  ASSERT_FALSE(escaped);
  EXPECT_EQ(escaped.error().errnum, ELOOP);
}

TEST_F(Sys, MakesDirectoriesInTheRootOnly) {
  fs::create_directory_symlink("/", dir_ / "up");
  ASSERT_TRUE(mkdirs_in_root(root_.get(), "/up/a//b/./c", 0700));
  EXPECT_TRUE(fs::is_directory(dir_ / "a/b/c"));
  ASSERT_TRUE(mkdirs_in_root(root_.get(), "a/b/c", 0700));
  EXPECT_EQ(mkdirs_in_root(root_.get(), "a/../../x", 0700).error().text(),
            "path 'a/../../x' has a '..' part");
  put("file", "");
  EXPECT_FALSE(mkdirs_in_root(root_.get(), "file/x", 0700));
}

TEST_F(Sys, ReadsWithinItsLimit) {
  put("ten", "0123456789");
  EXPECT_EQ(read_file(dir_ / "ten", 10), "0123456789");
  EXPECT_THAT(read_file(dir_ / "ten", 9).error().text(), testing::HasSubstr("more than 9 bytes"));
  EXPECT_EQ(read_file("/nowhere/x", 1).error().text(),
            "open '/nowhere/x': No such file or directory");
}

TEST_F(Sys, ReplacesAFileWholeOrNotAtAll) {
  auto dir = open_at(AT_FDCWD, dir_, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(dir);
  ASSERT_TRUE(replace_file_at(dir->get(), "state", "old", 0600));
  ASSERT_TRUE(replace_file_at(dir->get(), "state", "new", 0600));
  EXPECT_EQ(read_file_at(dir->get(), "state", 10), "new");
  fs::create_directory(dir_ / "taken");
  EXPECT_FALSE(replace_file_at(dir->get(), "taken", "x", 0600));
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()), 2);
}

TEST_F(Sys, ConnectsUnixSocketsPastTheLimitOfTheirAddress) {
  const fs::path deep = dir_ / std::string(100, 'd') / std::string(100, 'e');
  fs::create_directories(deep);
  auto dir = open_at(AT_FDCWD, deep, O_PATH | O_DIRECTORY);
  ASSERT_TRUE(dir);
  const auto listener = listen_unix_at(dir->get(), "control", 0600);
  ASSERT_TRUE(listener) << listener.error().text();
  struct stat info{};
  ASSERT_EQ(::stat((deep / "control").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  EXPECT_TRUE(connect_unix_at(dir->get(), "control"));
  EXPECT_EQ(connect_unix_at(dir->get(), "../control").error().kind, ErrorKind::invalid_argument);
}

TEST_F(Sys, PassesFileDescriptors) {
  auto ends = socket_pair(SOCK_STREAM);
  auto data = pipe();
  ASSERT_TRUE(ends && data);
  const int fd = data->second.get();
  ASSERT_TRUE(send_fds(ends->first.get(), "tty", std::span(&fd, 1)));
  auto got = receive_fds(ends->second.get(), 16, 2);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->bytes, "tty");
  ASSERT_EQ(got->fds.size(), 1U);
  EXPECT_NE(::fcntl(got->fds.front().get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_TRUE(write_all(got->fds.front().get(), "x"));

  const std::vector<int> many(5, fd);
  ASSERT_TRUE(send_fds(ends->first.get(), "more", many));
  EXPECT_EQ(receive_fds(ends->second.get(), 16, 2).error().text(),
            "more file descriptors than expected");
  ends->first.reset();
  EXPECT_EQ(receive_fds(ends->second.get(), 16, 2)->bytes, "");
}

TEST_F(Sys, NamesAProcessByPidAndStartTime) {
  const auto mine = process_start_time(::getpid());
  ASSERT_TRUE(mine);
  EXPECT_GT(*mine, 0U);
  EXPECT_EQ(process_start_time(::getpid()), mine);
  auto self = pidfd_open(::getpid());
  ASSERT_TRUE(self);
  EXPECT_TRUE(pidfd_send_signal(self->get(), 0));
  EXPECT_EQ(process_start_time(0x3fffffff).error().kind, ErrorKind::not_found);
}

TEST_F(Sys, GivesRandomBytes) {
  EXPECT_EQ(random_bytes(1000).size(), 1000U);
  EXPECT_NE(random_bytes(16), random_bytes(16));
}

}  // namespace
}  // namespace agentvm::sys
