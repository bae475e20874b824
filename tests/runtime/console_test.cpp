#include "runtime/console.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/base/sys.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using ::testing::HasSubstr;

termios modes_of(int terminal) {
  termios modes{};
  EXPECT_EQ(::tcgetattr(terminal, &modes), 0);
  return modes;
}

bool is_raw(int terminal) {
  const termios modes = modes_of(terminal);
  return (modes.c_lflag & (ICANON | ECHO | ISIG)) == 0 && (modes.c_oflag & OPOST) == 0;
}

TEST(OpenPty, GivesARawSlaveThatPassesBytesUnchanged) {
  auto pty = open_pty();
  ASSERT_TRUE(pty) << pty.error().text();
  EXPECT_THAT(pty->name, HasSubstr("/pts/"));
  EXPECT_TRUE(is_raw(pty->slave.get()));
  const std::string bytes = "a\n\003\004b";
  ASSERT_TRUE(sys::write_all(pty->slave.get(), bytes));
  std::string got(bytes.size(), '\0');
  ASSERT_EQ(::read(pty->master.get(), got.data(), got.size()), static_cast<ssize_t>(bytes.size()));
  EXPECT_EQ(got, bytes);
  EXPECT_NE(::fcntl(pty->master.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(pty->slave.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(WindowSize, IsTheSameAtBothEnds) {
  auto pty = open_pty();
  ASSERT_TRUE(pty);
  ASSERT_TRUE(set_window_size(pty->master.get(), {.rows = 24, .columns = 80}));
  EXPECT_EQ(*window_size(pty->slave.get()), (WindowSize{.rows = 24, .columns = 80}));
  auto wrong = window_size(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().text(), "read the window's size: Inappropriate ioctl for device");
}

TEST(SendConsole, SendsTheMasterAndItsNameInOneMessage) {
  TempDir temp;
  // Deeper than sun_path is long, as under some exec-roots.
  const std::string deep = temp / std::string(120, 'd');
  ASSERT_EQ(::mkdir(deep.c_str(), 0700), 0);
  auto dir = sys::open_at(AT_FDCWD, deep, O_RDONLY | O_DIRECTORY);
  auto listener = sys::listen_unix_at(dir->get(), "pty.sock", 0600);
  ASSERT_TRUE(listener) << listener.error().text();
  auto pty = open_pty();
  auto sent = send_console(deep + "/pty.sock", *pty);
  ASSERT_TRUE(sent) << sent.error().text();
  const UniqueFd peer(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  auto received = sys::receive_fds(peer.get(), 4096, 4);
  ASSERT_TRUE(received) << received.error().text();
  EXPECT_EQ(received->bytes, pty->name);
  ASSERT_EQ(received->fds.size(), 1U);
  struct stat mine{};
  struct stat theirs{};
  ::fstat(pty->master.get(), &mine);
  ::fstat(received->fds[0].get(), &theirs);
  EXPECT_EQ(mine.st_rdev, theirs.st_rdev);
}

TEST(SendConsole, NamesTheSocketThatNobodyListensOn) {
  TempDir temp;
  auto pty = open_pty();
  auto sent = send_console(temp / "none.sock", *pty);
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().text(),
              HasSubstr("hand the terminal to console socket '" + (temp / "none.sock") + "': "));
}

TEST(TakeControllingTerminal, MakesAResizeOfTheMasterASignal) {
  auto pty = open_pty();
  ASSERT_TRUE(pty);
  auto [ready, tell] = *sys::pipe();
  const pid_t child = ::fork();
  if (child == 0) {
    sigset_t resize;
    ::sigemptyset(&resize);
    ::sigaddset(&resize, SIGWINCH);
    ::sigprocmask(SIG_BLOCK, &resize, nullptr);
    if (take_controlling_terminal(pty->slave.get()) != 0) ::_exit(1);
    if (take_controlling_terminal(pty->slave.get()) != 0) ::_exit(2);  // twice is fine
    static_cast<void>(!::write(tell.get(), "x", 1));
    int signal = 0;
    ::sigwait(&resize, &signal);
    const auto size = window_size(pty->slave.get());
    ::_exit(signal == SIGWINCH && size && size->rows == 7 ? 0 : 3);
  }
  char byte = 0;
  tell.reset();
  ASSERT_EQ(::read(ready.get(), &byte, 1), 1);
  ASSERT_TRUE(set_window_size(pty->master.get(), {.rows = 7, .columns = 9}));
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(RawTerminal, RestoresTheModesAtItsEnd) {
  auto pty = open_pty();
  ASSERT_TRUE(pty);
  termios cooked = modes_of(pty->slave.get());
  cooked.c_lflag |= ICANON | ECHO | ISIG;
  cooked.c_oflag |= OPOST;
  ASSERT_EQ(::tcsetattr(pty->slave.get(), TCSANOW, &cooked), 0);
  {
    auto raw = RawTerminal::create(pty->slave.get());
    ASSERT_TRUE(raw) << raw.error().text();
    EXPECT_TRUE(is_raw(pty->slave.get()));
    auto second = RawTerminal::create(pty->slave.get());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().text(), "a terminal is in raw mode already");
  }
  EXPECT_FALSE(is_raw(pty->slave.get()));
  struct sigaction action{};
  ::sigaction(SIGTERM, nullptr, &action);
  EXPECT_EQ(action.sa_handler, SIG_DFL);
  auto none = RawTerminal::create(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().text(), HasSubstr("is not a terminal"));
}

TEST(RawTerminal, RestoresTheModesWhenASignalEndsTheProcess) {
  auto pty = open_pty();
  ASSERT_TRUE(pty);
  termios cooked = modes_of(pty->slave.get());
  cooked.c_lflag |= ICANON | ECHO | ISIG;
  ASSERT_EQ(::tcsetattr(pty->slave.get(), TCSANOW, &cooked), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto raw = RawTerminal::create(pty->slave.get());
    ::raise(raw ? SIGTERM : SIGKILL);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT_FALSE(is_raw(pty->slave.get()));
}

TEST(RawTerminal, LeavesAHandlerOfTheCallersAlone) {
  auto pty = open_pty();
  ASSERT_TRUE(pty);
  ::signal(SIGHUP, SIG_IGN);
  {
    auto raw = RawTerminal::create(pty->slave.get());
    ASSERT_TRUE(raw);
    struct sigaction action{};
    ::sigaction(SIGHUP, nullptr, &action);
    EXPECT_EQ(action.sa_handler, SIG_IGN);
  }
  ::signal(SIGHUP, SIG_DFL);
}

}  // namespace
}  // namespace agentvm::runtime
