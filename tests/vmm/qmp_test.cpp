// The client against a real QEMU without a machine, and against peers that break the protocol.
#include "vmm/qmp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/base/sys.h"
#include "vmm/jail.h"

namespace agentvm::vmm {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr const char* kQemu = "/usr/bin/qemu-system-x86_64";
constexpr milliseconds kPatience{20'000};

const std::vector<QmpEventKind> kResumedStoppedQuit{QmpEventKind::resume, QmpEventKind::stop,
                                                    QmpEventKind::shutdown};

struct Peer {
  std::unique_ptr<Child> process;
  UniqueFd socket;
};

JailSpec plain_qemu(int control) {
  JailSpec spec;
  spec.name = "qemu";
  spec.program = kQemu;
  spec.argv = {kQemu,
               "-M",
               "none",
               "-S",
               "-nodefaults",
               "-display",
               "none",
               "-chardev",
               "socket,id=q,fd=3",
               "-mon",
               "chardev=q,mode=control"};
  spec.fds = {JailFd{}, JailFd{2, {}}, JailFd{2, {}}, JailFd{control, {}}};
  return spec;
}

// A QmpDevice that no QEMU has. Not in the coroutine: g++ 12 fails on initialiser lists there.
QmpDevice unknown_device() {
  return {"no-such-device", "x", "", {{"a", true}}};
}

Task<Peer> start_qemu() {
  auto [ours, theirs] = *sys::socket_pair(SOCK_STREAM);
  auto begun = JailStart::begin(plain_qemu(theirs.get()));
  if (!begun) co_return std::unexpected(begun.error());
  auto child = co_await std::move(*begun).finish();
  if (!child) co_return std::unexpected(child.error());
  Peer peer;
  peer.process = std::make_unique<Child>(std::move(*child));
  peer.socket = std::move(ours);
  co_return peer;
}

#define ASSERT_OK(result)                     \
  if (!(result)) {                            \
    ADD_FAILURE() << (result).error().text(); \
    co_return Result<void>{};                 \
  }

Task<void> talk_to_qemu() {
  auto peer = co_await start_qemu();
  ASSERT_OK(peer);
  auto qmp = co_await Qmp::connect(std::move(peer->socket), kPatience);
  ASSERT_OK(qmp);
  EXPECT_GE((*qmp)->greeting().major, 7U);
  std::vector<QmpEventKind> events;
  (*qmp)->on_event([&](const QmpEvent& event) { events.push_back(event.kind); });

  auto status = co_await (*qmp)->query_status(kPatience);
  ASSERT_OK(status);
  EXPECT_EQ(*status, QmpRunState::prelaunch);
  auto running = co_await (*qmp)->cont(kPatience);
  ASSERT_OK(running);
  auto stopped = co_await (*qmp)->stop(kPatience);
  ASSERT_OK(stopped);
  status = co_await (*qmp)->query_status(kPatience);
  ASSERT_OK(status);
  EXPECT_EQ(*status, QmpRunState::paused);

  auto null = sys::open_at(AT_FDCWD, "/dev/null", O_RDWR);
  auto given = co_await (*qmp)->getfd("tap0", null->get(), kPatience);
  ASSERT_OK(given);
  auto added = co_await (*qmp)->device_add(unknown_device(), kPatience);
  EXPECT_FALSE(added);
  if (!added) {
    EXPECT_EQ(added.error().kind, ErrorKind::failed_precondition);
    EXPECT_THAT(added.error().text(), HasSubstr("device_add: QEMU says: "));
    EXPECT_THAT(added.error().text(), HasSubstr("no-such-device"));
  }
  auto quit = co_await (*qmp)->quit(kPatience);
  ASSERT_OK(quit);
  auto ended = co_await peer->process->wait();
  ASSERT_OK(ended);
  EXPECT_TRUE(WIFEXITED(*ended) && WEXITSTATUS(*ended) == 0);
  EXPECT_EQ(events, kResumedStoppedQuit);
  // QEMU is gone: every later call says so.
  auto late = co_await (*qmp)->stop(kPatience);
  EXPECT_FALSE(late);
  if (!late) {
    EXPECT_EQ(late.error().text(), "stop: QEMU's control socket was closed by QEMU");
  }
  co_return Result<void>{};
}

TEST(Qmp, TalksToARealQemu) {
  if (::access(kQemu, X_OK) != 0) GTEST_SKIP() << kQemu << " is not installed";
  asio::io_context io(1);
  const auto done = run_to_end(io, talk_to_qemu());
  EXPECT_TRUE(done) << done.error().text();
}

// A peer that says `words` and then waits (or, `closes`, goes).
Result<std::unique_ptr<Qmp>> connect_to(std::string words, bool closes, milliseconds timeout) {
  auto [ours, theirs] = *sys::socket_pair(SOCK_STREAM);
  (void)sys::write_all(theirs.get(), words);
  if (closes) theirs.reset();
  asio::io_context io(1);
  auto qmp = run_to_end(io, Qmp::connect(std::move(ours), timeout));
  if (qmp) qmp->reset();
  return qmp;
}

constexpr const char* kGreeting =
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 0}}}}\r\n";

TEST(Qmp, SaysThatQemuWentAway) {
  const auto silent = connect_to("", true, kPatience);
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().text(), "QEMU's control socket was closed by QEMU");
  EXPECT_EQ(silent.error().kind, ErrorKind::unavailable);
  const auto greeted = connect_to(kGreeting, true, kPatience);
  ASSERT_FALSE(greeted);
  EXPECT_EQ(greeted.error().text(),
            "negotiate with QEMU: QEMU's control socket was closed by QEMU");
}

TEST(Qmp, HasADeadlineForGreetingAndAnswer) {
  const auto silent = connect_to("", false, milliseconds(30));
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().text(), "QEMU did not greet within 30 ms");
  const auto dumb = connect_to(kGreeting, false, milliseconds(30));
  ASSERT_FALSE(dumb);
  EXPECT_EQ(dumb.error().text(), "negotiate with QEMU: QEMU did not answer within 30 ms");
}

TEST(Qmp, RefusesAPeerThatSpeaksSomethingElse) {
  const auto chat = connect_to("HTTP/1.1 200 OK\r\n", false, kPatience);
  ASSERT_FALSE(chat);
  EXPECT_THAT(chat.error().text(), HasSubstr("QEMU's control socket carried no QMP: "));
  const auto endless = connect_to(std::string(kQmpLineLimit / 2, 'x'), true, kPatience);
  EXPECT_FALSE(endless);
}

}  // namespace
}  // namespace agentvm::vmm
