#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>

#include "oci/base/async.h"
#include "oci/base/error.h"
#include "oci/base/log.h"
#include "oci/base/rollback.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "oci/base/unique_fd.h"

namespace agentvm {
namespace {

Result<int> open_nothing() {
  return fail_errno(ENOENT, "openat 'rootfs/proc'");
}
Result<void> mount_proc() {
  TRY(open_nothing(), "mount '{}'", "/proc");
  return {};
}

TEST(Error, ReadsFromOutsideInWithErrnosTextLastAndOnce) {
  auto failed = mount_proc();
  ASSERT_FALSE(failed);
  const Error outer = std::move(failed).error().wrap("create container 'web'");
  EXPECT_EQ(outer.kind, ErrorKind::not_found);
  EXPECT_EQ(
      outer.text(),
      "create container 'web': mount '/proc': openat 'rootfs/proc': No such file or directory");
}

TEST(Error, KeepsTheFirstFailureAndAppendsACleanUpsFailure) {
  Error first = fail_errno(EBUSY, "unmount '/a'").error();
  const Error second = fail(ErrorKind::internal, "kill the VM").error();
  const Error both = std::move(first).also(second);
  EXPECT_EQ(both.text(), "unmount '/a': Device or resource busy (also: kill the VM)");
  EXPECT_EQ(both.kind, ErrorKind::failed_precondition);
}

TEST(Try, GivesTheValueOrLeaves) {
  const auto sum = [](Result<int> a, Result<int> b) -> Result<int> {
    const int left = TRY(std::move(a));
    const int right = TRY(std::move(b), "right of {}", left);
    return left + right;
  };
  EXPECT_EQ(sum(1, 2), 3);
  EXPECT_EQ(sum(1, fail(ErrorKind::internal, "none")).error().text(), "right of 1: none");
}

TEST(Rollback, UndoesInReverseUnlessReleased) {
  std::string order;
  {
    Rollback undo;
    undo.push([&order] { order += 'a'; });
    undo.push([&order] { order += 'b'; });
  }
  EXPECT_EQ(order, "ba");
  {
    Rollback undo;
    undo.push([&order] { order += 'c'; });
    undo.release();
  }
  EXPECT_EQ(order, "ba");
}

TEST(UniqueFd, ClosesOnceAndCanBeGivenAway) {
  auto ends = sys::pipe();
  ASSERT_TRUE(ends);
  const int raw = ends->first.get();
  UniqueFd moved = std::move(ends->first);
  EXPECT_FALSE(ends->first);
  EXPECT_EQ(moved.get(), raw);
  moved.reset();
  struct stat unused{};
  EXPECT_EQ(::fstat(raw, &unused), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(Log, WritesLinesThatParseBack) {
  EXPECT_EQ(log::format_line(log::Format::json, log::Level::error, "a \"b\"\n\x01", "T"),
            "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\\n\\u0001\",\"time\":\"T\"}\n");
  EXPECT_EQ(log::format_line(log::Format::text, log::Level::info, "x\ny", "T"),
            "time=\"T\" level=info msg=\"x\\ny\"\n");
}

Task<bool> sees_hangup(int fd, UniqueFd peer) {
  bool hung_up = false;
  spawn<void>(co_await asio::this_coro::executor, [](int watched, bool& seen) -> Task<void> {
    auto outcome = co_await wait_hangup(watched);
    seen = outcome.has_value();
    co_return outcome;
  }(fd, hung_up));
  asio::steady_timer pause(co_await asio::this_coro::executor, std::chrono::milliseconds(20));
  co_await pause.async_wait(use_result);
  EXPECT_FALSE(hung_up) << "what was sent is no end";
  peer.reset();
  pause.expires_after(std::chrono::seconds(10));
  while (!hung_up && pause.expiry() > std::chrono::steady_clock::now()) {
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  }
  co_return hung_up;
}

TEST(Async, TellsTheEndOfAPeerFromWhatItSent) {
  auto [ours, theirs] = *sys::socket_pair(SOCK_STREAM);
  ASSERT_EQ(::write(theirs.get(), "x", 1), 1);
  asio::io_context io(1);
  const auto seen = run_to_end(io, sees_hangup(ours.get(), std::move(theirs)));
  ASSERT_TRUE(seen);
  EXPECT_TRUE(*seen);
}

TEST(Async, RunsATaskToItsEnd) {
  asio::io_context io;
  const auto task = [](int value) -> Task<int> {
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(1));
    const auto [code] = co_await timer.async_wait(use_result);
    if (code) co_return fail_asio(code, "wait");
    co_return value;
  };
  EXPECT_EQ(run_to_end<int>(io, task(7)), 7);
}

TEST(Async, RunsTwoTasksAtTheSameTime) {
  asio::io_context io;
  Event said(io.get_executor());
  // Each needs the other to go on.
  const auto waits = [](Event& event) -> Task<int> {
    co_await event.wait();
    co_return 7;
  };
  const auto says = [](Event& event) -> Task<std::string> {
    event.set();
    co_return "said";
  };
  const auto met = run_to_end(io, both(waits(said), says(said)));
  ASSERT_TRUE(met);
  EXPECT_EQ(*met, std::pair(7, std::string("said")));

  io.restart();
  const auto fails = []() -> Task<int> { co_return fail(ErrorKind::not_found, "gone"); };
  const auto failed = run_to_end(io, both(says(said), fails()));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "gone");
}

TEST(Text, SplitsWithoutEmptyPieces) {
  using ::testing::ElementsAre;
  EXPECT_THAT(split("cpu  memory\n\npids\n", " \n"), ElementsAre("cpu", "memory", "pids"));
  EXPECT_THAT(split("one", " "), ElementsAre("one"));
  EXPECT_THAT(split(" \n ", " \n"), ::testing::IsEmpty());
  EXPECT_THAT(split("", " "), ::testing::IsEmpty());
}

TEST(Text, WritesBytesAsTwoDigitsEach) {
  EXPECT_EQ(hexadecimal(std::string_view("\0\x0f\xff", 3)), "000fff");
}

TEST(Text, TellsHowAChildEnded) {
  EXPECT_EQ(describe_wait_status(W_EXITCODE(3, 0)), "exited with status 3");
  EXPECT_EQ(describe_wait_status(W_EXITCODE(0, 9)), "was killed by signal 9");
  EXPECT_EQ(go_wait_status(W_EXITCODE(3, 0)), "exit status 3");
  EXPECT_EQ(go_wait_status(W_EXITCODE(0, 9)), "signal: Killed");
}

}  // namespace
}  // namespace agentvm
