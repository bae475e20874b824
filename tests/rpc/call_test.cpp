#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <vector>

#include "rpc/frame.h"
#include "tests/rpc/pair.h"

namespace agentvm::rpc {
namespace {

using testing::StartsWith;

TEST(Call, CarriesPayloadsBothWays) {
  Pair pair;
  auto link = pair.connect();
  const std::string bytes("\0\xff\n bytes", 9);
  run_test(pair.io, [&]() -> Task<void> {
    const auto answer = co_await link.client->call("test", "Echo", bytes, kLong);
    EXPECT_EQ(answer, bytes);
    const auto empty = co_await link.client->call("test", "Echo", "", kNoDeadline);
    EXPECT_EQ(empty, "");
    co_return Result<void>{};
  }());
}

TEST(Call, CarriesTheLargestMessageAndRefusesALargerOne) {
  Pair pair;
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    const std::string large(kMaxFrameBytes - 64, 'l');
    const auto answer = co_await link.client->call("test", "Echo", large, kLong);
    EXPECT_EQ(answer, large);
    const auto refused =
        co_await link.client->call("test", "Echo", std::string(kMaxFrameBytes, 'l'), kLong);
    EXPECT_EQ(refused.error().kind, ErrorKind::invalid_argument);
    EXPECT_THAT(refused.error().text(), StartsWith("call Echo: a message of 4194"));
    const auto after = co_await link.client->call("test", "Echo", "still here", kLong);
    EXPECT_EQ(after, "still here");
    co_return Result<void>{};
  }());
}

TEST(Call, AnswersAnErrorInsteadOfAnAnswerPastTheLimit) {
  Pair pair;
  pair.server->handle("test", "Huge", [](CallContext&, std::string) -> Task<std::string> {
    co_return std::string(kMaxFrameBytes, 'h');
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    const auto answer = co_await link.client->call("test", "Huge", "", kLong);
    EXPECT_EQ(answer.error().kind, ErrorKind::internal);
    EXPECT_THAT(answer.error().text(), StartsWith("answer: a message of 4194"));
    co_return Result<void>{};
  }());
}

TEST(Call, RunsAThousandAtOnceAndAnswersThemInAnyOrder) {
  constexpr int kCalls = 1000;
  Pair pair;
  std::vector<std::unique_ptr<Event>> gates;
  for (int i = 0; i < kCalls; ++i) gates.push_back(std::make_unique<Event>(pair.io));
  int running = 0;
  Event all_running(pair.io);
  pair.server->handle("test", "Gate", [&](CallContext&, std::string n) -> Task<std::string> {
    if (++running == kCalls) all_running.set();
    co_await gates[std::stoul(n)]->wait();
    co_return "gate " + n;
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    std::vector<std::unique_ptr<Started<std::string>>> calls;
    for (int i = 0; i < kCalls; ++i) {
      calls.push_back(std::make_unique<Started<std::string>>(
          pair.io, link.client->call("test", "Gate", std::to_string(i), kLong)));
    }
    co_await all_running.wait();
    for (int i = kCalls - 1; i >= 0; --i) {
      gates[static_cast<std::size_t>(i)]->set();
      const auto answer = co_await calls[static_cast<std::size_t>(i)]->wait();
      EXPECT_EQ(answer, "gate " + std::to_string(i));
    }
    co_return Result<void>{};
  }());
}

TEST(Call, GivesTheHandlersErrorWithItsKindAndErrnoText) {
  Pair pair;
  pair.server->handle("test", "Fail", [](CallContext&, std::string which) -> Task<std::string> {
    if (which == "errno") co_return fail_errno(ENOENT, "stat '/nope\n'");
    co_return fail(ErrorKind::failed_precondition, "container is paused");
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    const auto with_errno = co_await link.client->call("test", "Fail", "errno", kLong);
    EXPECT_EQ(with_errno.error(),
              (Error{ErrorKind::not_found, 0, "stat '/nope ': No such file or directory"}));
    const auto without = co_await link.client->call("test", "Fail", "", kLong);
    EXPECT_EQ(without.error(), (Error{ErrorKind::failed_precondition, 0, "container is paused"}));
    co_return Result<void>{};
  }());
}

TEST(Call, IsAnsweredWhenItsHandlerThrows) {
  Pair pair;
  pair.server->handle("test", "Throw", [](CallContext&, std::string) -> Task<std::string> {
    throw std::runtime_error("out of luck");
    co_return "";
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    const auto answer = co_await link.client->call("test", "Throw", "", kLong);
    EXPECT_EQ(answer.error(), (Error{ErrorKind::internal, 0, "the handler failed: out of luck"}));
    co_return Result<void>{};
  }());
}

TEST(Call, NamesTheMethodThatIsNotThere) {
  Pair pair;
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    const auto answer = co_await link.client->call("test", "Nope", "", kLong);
    EXPECT_EQ(answer.error().text(), "no method 'Nope' in service 'test'");
    const auto split = co_await link.client->call("test/Echo", "", "", kLong);
    EXPECT_EQ(split.error().text(), "no method '' in service 'test/Echo'");
    co_return Result<void>{};
  }());
}

TEST(Call, EndsAtItsDeadlineAndLeavesTheConnectionUsable) {
  Pair pair;
  Event gate(pair.io);
  Event answered(pair.io);
  std::optional<std::chrono::steady_clock::time_point> deadline;
  pair.server->handle("test", "Slow", [&](CallContext& call, std::string) -> Task<std::string> {
    deadline = call.deadline;
    co_await gate.wait();
    answered.set();
    co_return "too late";
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    const auto late = co_await link.client->call("test", "Slow", "", std::chrono::milliseconds(20));
    EXPECT_EQ(late.error(),
              (Error{ErrorKind::unavailable, 0, "call Slow: no answer within 20 ms"}));
    EXPECT_TRUE(deadline);
    gate.set();
    co_await answered.wait();
    const auto after = co_await link.client->call("test", "Echo", "mine", kLong);
    EXPECT_EQ(after, "mine");
    co_return Result<void>{};
  }());
}

TEST(Call, HasNoDeadlineWhenNoneIsAsked) {
  Pair pair;
  std::optional<std::chrono::steady_clock::time_point> deadline = std::chrono::steady_clock::now();
  pair.server->handle("test", "Look", [&](CallContext& call, std::string) -> Task<std::string> {
    deadline = call.deadline;
    co_return "";
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    const auto answer = co_await link.client->call("test", "Look", "", kNoDeadline);
    EXPECT_TRUE(answer);
    EXPECT_FALSE(deadline);
    co_return Result<void>{};
  }());
}

TEST(Call, FailsAtOnceWhenTheServerDies) {
  Pair pair;
  Event never(pair.io);
  int running = 0;
  Event both_running(pair.io);
  pair.server->handle("test", "Hang", [&](CallContext&, std::string) -> Task<std::string> {
    if (++running == 2) both_running.set();
    co_await never.wait();
    co_return "";
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    Started<std::string> one(pair.io, link.client->call("test", "Hang", "", kNoDeadline));
    Started<std::string> two(pair.io, link.client->call("test", "Hang", "", kLong));
    Started<void> closed(pair.io, link.client->wait_closed());
    co_await both_running.wait();
    pair.server.reset();
    const Error expected{ErrorKind::unavailable, 0, "the connection has ended"};
    const auto first = co_await one.wait();
    EXPECT_EQ(first.error(), expected);
    const auto second = co_await two.wait();
    EXPECT_EQ(second.error(), expected);
    const auto end = co_await closed.wait();
    EXPECT_TRUE(end);
    const auto third = co_await link.client->call("test", "Echo", "", kLong);
    EXPECT_EQ(third.error().text(), "call Echo: the connection has ended");
    never.set();
    co_return Result<void>{};
  }());
}

TEST(Call, FailsWhenItsClientIsDestroyed) {
  Pair pair;
  Event never(pair.io);
  Event running(pair.io);
  pair.server->handle("test", "Hang", [&](CallContext&, std::string) -> Task<std::string> {
    running.set();
    co_await never.wait();
    co_return "";
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    Started<std::string> call(pair.io, link.client->call("test", "Hang", "", kNoDeadline));
    co_await running.wait();
    link.client.reset();
    const auto answer = co_await call.wait();
    EXPECT_EQ(answer.error().kind, ErrorKind::unavailable);
    const auto served = co_await link.served->wait();
    EXPECT_TRUE(served) << "to the server it is an orderly end";
    never.set();
    co_return Result<void>{};
  }());
}

TEST(Call, IsCancelledByItsSlot) {
  Pair pair;
  Event never(pair.io);
  Event running(pair.io);
  pair.server->handle("test", "Hang", [&](CallContext&, std::string) -> Task<std::string> {
    running.set();
    co_await never.wait();
    co_return "";
  });
  auto link = pair.connect();
  asio::cancellation_signal cancel;
  Result<std::string> outcome;
  Event done(pair.io);
  asio::co_spawn(pair.io, link.client->call("test", "Hang", "", kNoDeadline),
                 asio::bind_cancellation_slot(
                     cancel.slot(), [&](const std::exception_ptr&, Result<std::string> result) {
                       outcome = std::move(result);
                       done.set();
                     }));
  run_test(pair.io, [&]() -> Task<void> {
    co_await running.wait();
    cancel.emit(asio::cancellation_type::terminal);
    co_await done.wait();
    EXPECT_EQ(outcome.error().errnum, ECANCELED);
    EXPECT_EQ(outcome.error().text(), "call Hang: Operation canceled");
    const auto after = co_await link.client->call("test", "Echo", "fine", kLong);
    EXPECT_EQ(after, "fine");
    never.set();
    co_return Result<void>{};
  }());
}

}  // namespace
}  // namespace agentvm::rpc
