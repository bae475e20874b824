#include "runtime/state_dir.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "oci/base/sys.h"
#include "tests/runtime/sample_record.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StateDirTest : public ::testing::Test {
 protected:
  StateDirTest() : root_(*StateRoot::open(temp_ / "state")) {}
  StateDir make(const std::string& id) { return std::move(*root_.create(make_sample_record(id))); }

  TempDir temp_;
  StateRoot root_;
};

TEST(CheckContainerId, AllowsWhatRuncAllowsButNoPaths) {
  EXPECT_TRUE(check_container_id("web_1.2+3-4"));
  EXPECT_TRUE(check_container_id(std::string(1024, 'a')));
  for (const std::string id : {"", ".", "..", ".new.1", "a/b", "a b", "ü", "a\n"}) {
    auto checked = check_container_id(id);
    ASSERT_FALSE(checked) << id;
    EXPECT_EQ(checked.error().text(), "invalid container ID format: '" + id + "'");
  }
  EXPECT_FALSE(check_container_id(std::string(1025, 'a')));
  EXPECT_FALSE(check_container_id(std::string("a\0b", 3)));
}

TEST_F(StateDirTest, MakesThePrivateDirectoryWithItsRecord) {
  const StateDir dir = make("web");
  EXPECT_EQ(dir.path(), temp_ / "state/web");
  struct stat status{};
  ASSERT_EQ(::stat(dir.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  ASSERT_EQ(::stat((temp_ / "state").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  auto record = dir.load();
  ASSERT_TRUE(record) << record.error().text();
  EXPECT_EQ(*record, make_sample_record("web"));
  make("db");
  EXPECT_THAT(*root_.list(), ElementsAre("db", "web"));
}

TEST_F(StateDirTest, SaysWhatRuncSaysForATakenAndForAnUnknownId) {
  make("web");
  auto again = root_.create(make_sample_record("web"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind, ErrorKind::already_exists);
  EXPECT_EQ(again.error().text(), "container with given ID already exists");
  auto unknown = root_.open_container("nobody");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().kind, ErrorKind::not_found);
  EXPECT_EQ(unknown.error().text(), "container does not exist");
  EXPECT_FALSE(root_.open_container("../state"));
  // Nothing is left of the refused one.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(temp_ / "state"), {}), 1);
}

TEST_F(StateDirTest, StoresUnderTheLock) {
  StateDir dir = make("web");
  {
    auto held = dir.lock(1s);
    ASSERT_TRUE(held) << held.error().text();
    auto record = *dir.load();
    record.status = Status::stopped;
    ASSERT_TRUE(dir.store(record, *held));
  }
  EXPECT_EQ(root_.open_container("web")->load()->status, Status::stopped);
  auto held = dir.lock(0ms);
  ASSERT_TRUE(held) << held.error().text();
}

TEST_F(StateDirTest, GivesUpOnTheLockAtTheDeadline) {
  StateDir dir = make("web");
  auto held = dir.lock(0ms);
  ASSERT_TRUE(held);
  auto second = root_.open_container("web")->lock(20ms);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::unavailable);
  EXPECT_EQ(second.error().text(),
            "lock the state of container 'web': another command still holds it after 20 ms");
}

TEST_F(StateDirTest, HandsTheLockOnWhenItsHolderIsDoneOrKilled) {
  StateDir dir = make("web");
  auto held = dir.lock(0ms);
  ASSERT_TRUE(held);
  std::optional<StateLock> mine(std::move(*held));
  std::thread waiter([&] { EXPECT_TRUE(root_.open_container("web")->lock(60s)); });
  mine.reset();
  waiter.join();

  auto [ready, told] = *sys::pipe();
  const pid_t holder = ::fork();
  if (holder == 0) {
    auto lock = dir.lock(1s);
    static_cast<void>(sys::write_all(told.get(), lock ? "x" : "?"));
    ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready.get(), &byte, 1), 1);
  EXPECT_FALSE(dir.lock(0ms));
  ::kill(holder, SIGKILL);
  EXPECT_TRUE(dir.lock(60s));
  ::waitpid(holder, nullptr, 0);
}

TEST_F(StateDirTest, TellsAWaiterThatTheContainerWasDeletedMeanwhile) {
  StateDir dir = make("web");
  auto other = root_.open_container("web");
  auto held = dir.lock(0ms);
  ASSERT_TRUE(held);
  std::optional<StateLock> mine(std::move(*held));
  std::thread waiter([&] {
    auto late = other->lock(60s);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().text(), "container does not exist");
  });
  // Whether the waiter opened the lock file before or after the removal, the answer is the same.
  ASSERT_TRUE(dir.remove(*mine));
  mine.reset();
  waiter.join();
}

TEST_F(StateDirTest, RemovesWhateverLiesInsideButNeverBeyond) {
  StateDir dir = make("web");
  const std::string outside = temp_.write("outside/keep", "precious");
  std::filesystem::create_directory_symlink(temp_ / "outside", dir.path() + "/link");
  std::filesystem::create_symlink(outside, dir.path() + "/file-link");
  temp_.write("state/web/sub/deep/file", "x");
  ASSERT_EQ(::mkfifo((dir.path() + "/sub/fifo").c_str(), 0600), 0);
  auto socket = sys::listen_unix_at(dir.fd(), "monitor.sock", 0600);
  ASSERT_TRUE(socket);
  auto held = dir.lock(0ms);
  auto removed = dir.remove(*held);
  ASSERT_TRUE(removed) << removed.error().text();
  EXPECT_FALSE(std::filesystem::exists(temp_ / "state/web"));
  EXPECT_TRUE(std::filesystem::exists(outside));
  EXPECT_TRUE(root_.list()->empty());
  EXPECT_TRUE(dir.remove(*held)) << "repeating it is fine";
}

TEST_F(StateDirTest, KeepsTheRecordWhenSomethingInsideCannotGo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount";
  StateDir dir = make("web");
  std::filesystem::create_directory(dir.path() + "/shared");
  ASSERT_EQ(::mount("none", (dir.path() + "/shared").c_str(), "tmpfs", 0, nullptr), 0);
  std::filesystem::create_directory(dir.path() + "/shared/of-the-mount");
  auto held = dir.lock(0ms);
  auto removed = dir.remove(*held);
  EXPECT_TRUE(std::filesystem::exists(dir.path() + "/shared/of-the-mount"));
  ASSERT_EQ(::umount((dir.path() + "/shared").c_str()), 0);
  ASSERT_FALSE(removed);
  EXPECT_THAT(removed.error().text(), HasSubstr("Device or resource busy"));
  EXPECT_TRUE(dir.load());
  EXPECT_TRUE(dir.remove(*held));
}

TEST_F(StateDirTest, RefusesADamagedRecordByName) {
  StateDir dir = make("web");
  temp_.write("state/web/state.json", "{\"id\": \"web\"");
  auto record = dir.load();
  ASSERT_FALSE(record);
  EXPECT_THAT(record.error().text(), HasSubstr("/state/web/state.json'"));
  auto held = dir.lock(0ms);
  ASSERT_TRUE(dir.store(make_sample_record("other"), *held));
  EXPECT_THAT(dir.load().error().text(), HasSubstr("holds the state of container 'other'"));
  // A record is never read through a link.
  std::filesystem::remove(dir.path() + "/state.json");
  std::filesystem::create_symlink("/etc/passwd", dir.path() + "/state.json");
  EXPECT_FALSE(dir.load());
}

TEST_F(StateDirTest, SweepsWhatAKilledCreatorLeft) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  const std::string left = "state/.new." + std::to_string(child);
  temp_.write(left + "/lock", "");
  temp_.write("state/.new.1/lock", "");  // init lives
  EXPECT_TRUE(root_.list()->empty());
  make("web");
  EXPECT_FALSE(std::filesystem::exists(temp_ / left));
  EXPECT_TRUE(std::filesystem::exists(temp_ / "state/.new.1"));
}

TEST(StateRootTest, RefusesADirectoryThatOthersMayWriteOrOwn) {
  TempDir temp;
  std::filesystem::create_directory(temp / "open");
  ASSERT_EQ(::chmod((temp / "open").c_str(), 0770), 0);
  auto root = StateRoot::open(temp / "open");
  ASSERT_FALSE(root);
  EXPECT_EQ(root.error().kind, ErrorKind::failed_precondition);
  EXPECT_EQ(root.error().text(),
            "state directory '" + (temp / "open") + "' can be written by others (mode 0770)");
  if (::geteuid() != 0) return;
  std::filesystem::create_directory(temp / "theirs");
  ASSERT_EQ(::chown((temp / "theirs").c_str(), 1234, 1234), 0);
  root = StateRoot::open(temp / "theirs");
  ASSERT_FALSE(root);
  EXPECT_EQ(root.error().text(),
            "state directory '" + (temp / "theirs") + "' belongs to user 1234, not to user 0");
}

TEST(StateRootTest, MakesTheDirectoriesAbove) {
  TempDir temp;
  ASSERT_TRUE(StateRoot::open(temp / "a/b/c"));
  struct stat status{};
  ASSERT_EQ(::stat((temp / "a/b/c").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
}

}  // namespace
}  // namespace agentvm::runtime
