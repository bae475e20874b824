// What a connection's two ends do to each other: limits, malformed bytes, ends of all kinds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <vector>

#include "rpc/frame.h"
#include "rpc/ttrpc.pb.h"
#include "tests/rpc/pair.h"

namespace agentvm::rpc {
namespace {

using std::string_literals::operator""s;

std::string request_frame(std::uint32_t id, const std::string& method, std::uint8_t flags = 0) {
  wire::Request request;
  request.set_service("test");
  request.set_method(method);
  return *encode_frame({id, FrameType::request, flags, request.SerializeAsString()});
}

// The next response that arrives on a raw socket.
Task<wire::Response> read_response(StreamFd& stream, FrameParser& parser) {
  for (;;) {
    auto frame = parser.next();
    if (frame && *frame) {
      wire::Response response;
      EXPECT_TRUE(response.ParseFromString((*frame)->data));
      co_return response;
    }
    std::array<char, 4096> chunk;
    const auto n = stream.try_read(chunk);
    if (!n || (*n && **n == 0)) co_return fail(ErrorKind::unavailable, "closed");
    if (*n) {
      parser.feed({chunk.data(), **n});
    } else {
      co_await stream.wait_readable();
    }
  }
}

// What serve() says after these bytes, and that it closed the connection.
Error served_after(const std::string& bytes) {
  Pair pair;
  auto [served, raw] = pair.connect_raw();
  Result<void> outcome;
  run_test(pair.io, [&]() -> Task<void> {
    EXPECT_TRUE(sys::write_all(raw.get(), bytes));
    outcome = co_await served->wait();
    EXPECT_EQ(pair.server->connections(), 0u);
    // To the end of file; a connection that stayed open would block the test.
    EXPECT_TRUE(sys::read_all(raw.get(), 4096));
    co_return Result<void>{};
  }());
  return outcome ? Error{} : outcome.error();
}

TEST(Connection, IsClosedByAMalformedFrame) {
  EXPECT_EQ(served_after("\xff\xff\xff\xff\0\0\0\1\1\0"s),
            (Error{ErrorKind::invalid_argument, 0,
                   "a frame of 4294967295 bytes is past the limit of 4194304"}));
  EXPECT_EQ(served_after("\0\0\0\0\0\0\0\1\2\0"s).text(), "the client sent a response");
  EXPECT_EQ(served_after("GET / HTTP/1.1\r\n").kind, ErrorKind::invalid_argument);
}

TEST(Connection, IsClosedByAStreamIdThatDoesNotIncrease) {
  EXPECT_EQ(served_after(request_frame(5, "Echo") + request_frame(5, "Echo")).text(),
            "stream 5 was opened after stream 5");
  EXPECT_EQ(served_after(request_frame(5, "Echo") + request_frame(3, "Echo")).text(),
            "stream 3 was opened after stream 5");
}

TEST(Connection, ThatEndsWithinAMessageIsAnError) {
  Pair pair;
  auto [served, raw] = pair.connect_raw();
  run_test(pair.io, [&]() -> Task<void> {
    EXPECT_TRUE(sys::write_all(raw.get(), request_frame(1, "Echo").substr(0, 12)));
    ::shutdown(raw.get(), SHUT_WR);
    const auto outcome = co_await served->wait();
    EXPECT_EQ(outcome.error().text(), "the connection ended within a message");
    co_return Result<void>{};
  }());
}

TEST(Connection, AnswersRequestsThatItCannotServe) {
  Pair pair;
  auto [served, raw] = pair.connect_raw();
  run_test(pair.io, [&]() -> Task<void> {
    auto stream = *StreamFd::create(pair.io.get_executor(), std::move(raw));
    FrameParser parser;
    const std::string garbage = *encode_frame({1, FrameType::request, 0, "\xff\xff\xff"});
    EXPECT_TRUE(stream.try_write(garbage + request_frame(3, "Echo", 2)));
    const auto first = co_await read_response(stream, parser);
    EXPECT_EQ(first->status().code(), 3);
    EXPECT_EQ(first->status().message(), "not a ttrpc request");
    const auto second = co_await read_response(stream, parser);
    EXPECT_EQ(second->status().code(), 12);
    EXPECT_EQ(second->status().message(), "streaming is not supported");
    co_return Result<void>{};
  }());
}

TEST(Connection, RefusesCallsPastItsLimitAndServesOn) {
  Pair pair({.connections = 64, .calls_per_connection = 2, .unsent_bytes = 1 << 20});
  Event gate(pair.io);
  int running = 0;
  Event two_running(pair.io);
  pair.server->handle("test", "Gate", [&](CallContext&, std::string) -> Task<std::string> {
    if (++running == 2) two_running.set();
    co_await gate.wait();
    co_return "through";
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    Started<std::string> one(pair.io, link.client->call("test", "Gate", "", kLong));
    Started<std::string> two(pair.io, link.client->call("test", "Gate", "", kLong));
    co_await two_running.wait();
    const auto third = co_await link.client->call("test", "Echo", "", kLong);
    EXPECT_EQ(third.error(),
              (Error{ErrorKind::unavailable, 0, "2 calls are in flight on this connection"}));
    gate.set();
    const auto first = co_await one.wait();
    EXPECT_EQ(first, "through");
    const auto second = co_await two.wait();
    EXPECT_EQ(second, "through");
    const auto fourth = co_await link.client->call("test", "Echo", "room", kLong);
    EXPECT_EQ(fourth, "room");
    co_return Result<void>{};
  }());
}

TEST(Connection, IsRefusedPastTheServersLimit) {
  Pair pair({.connections = 1, .calls_per_connection = 4, .unsent_bytes = 1 << 20});
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    const auto answer = co_await link.client->call("test", "Echo", "first", kLong);
    EXPECT_EQ(answer, "first");
    auto more = pair.connect();
    const auto refused = co_await more.served->wait();
    EXPECT_EQ(refused.error(),
              (Error{ErrorKind::unavailable, 0, "1 connections are open already"}));
    const auto closed = co_await more.client->wait_closed();
    EXPECT_TRUE(closed);
    link.client.reset();
    const auto ended = co_await link.served->wait();
    EXPECT_TRUE(ended);
    auto third = pair.connect();
    const auto again = co_await third.client->call("test", "Echo", "again", kLong);
    EXPECT_EQ(again, "again");
    co_return Result<void>{};
  }());
}

// Each handler owns something by its connection, as the agent owns processes.
TEST(Connection, TellsItsHooksInOrderWhenTheClientGoes) {
  Pair pair;
  std::vector<std::string> told;
  std::shared_ptr<Connection> kept;
  Connection::HookId forgotten = 0;
  pair.server->handle("test", "Own", [&](CallContext& call, std::string name) -> Task<std::string> {
    kept = call.connection;
    const auto hook = kept->on_closed([&told, name] { told.push_back(name); });
    if (name == "b") forgotten = hook;
    co_return std::to_string(kept->id());
  });
  auto other = pair.connect();
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    for (const char* name : {"a", "b", "c"}) {
      const auto id = co_await link.client->call("test", "Own", name, kLong);
      EXPECT_EQ(id, "2") << "ids tell connections apart";
    }
    kept->forget(forgotten);
    EXPECT_FALSE(kept->closed());
    EXPECT_TRUE(told.empty());
    link.client.reset();
    co_await link.served->wait();
    EXPECT_THAT(told, testing::ElementsAre("a", "c"));
    EXPECT_TRUE(kept->closed());
    kept->on_closed([&told] { told.push_back("late"); });
    EXPECT_THAT(told, testing::ElementsAre("a", "c", "late"));
    const auto still = co_await other.client->call("test", "Echo", "untouched", kLong);
    EXPECT_EQ(still, "untouched");
    co_return Result<void>{};
  }());
}

TEST(Connection, TellsItsHooksWhenTheServerGoes) {
  Pair pair;
  int told = 0;
  pair.server->handle("test", "Own", [&](CallContext& call, std::string) -> Task<std::string> {
    call.connection->on_closed([&told] { ++told; });
    co_return "";
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    const auto owned = co_await link.client->call("test", "Own", "", kLong);
    EXPECT_TRUE(owned);
    pair.server.reset();
    EXPECT_EQ(told, 1);
    const auto served = co_await link.served->wait();
    EXPECT_TRUE(served);
    EXPECT_EQ(told, 1);
    co_return Result<void>{};
  }());
}

TEST(Connection, ReadsNoFurtherRequestsFromAClientThatTakesNoAnswers) {
  Pair pair({.connections = 4, .calls_per_connection = 1024, .unsent_bytes = 1 << 20});
  int served_calls = 0;
  pair.server->handle("test", "Big", [&](CallContext&, std::string) -> Task<std::string> {
    ++served_calls;
    co_return std::string(1 << 20, 'b');
  });
  auto [served, raw] = pair.connect_raw();
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    auto stream = *StreamFd::create(pair.io.get_executor(), std::move(raw));
    constexpr int kRequests = 100;
    for (int i = 0; i < kRequests; ++i) {
      EXPECT_TRUE(stream.try_write(request_frame(static_cast<std::uint32_t>(2 * i + 1), "Big")));
      // Gives the server its turn: a round trip on another connection.
      const auto turn = co_await link.client->call("test", "Echo", "", kLong);
      EXPECT_TRUE(turn);
    }
    EXPECT_LT(served_calls, 5);
    FrameParser parser;
    for (int i = 0; i < kRequests; ++i) {
      const auto response = co_await read_response(stream, parser);
      if (!response) co_return std::unexpected(response.error());
      EXPECT_EQ(response->payload().size(), std::size_t{1} << 20);
    }
    EXPECT_EQ(served_calls, kRequests);
    co_return Result<void>{};
  }());
}

TEST(Connection, DropsTheAnswerOfAHandlerThatOutlivesIt) {
  Pair pair;
  Event gate(pair.io);
  Event running(pair.io);
  Event finished(pair.io);
  pair.server->handle("test", "Slow", [&](CallContext& call, std::string) -> Task<std::string> {
    running.set();
    co_await gate.wait();
    EXPECT_TRUE(call.connection->closed());
    finished.set();
    co_return "nobody hears";
  });
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    Started<std::string> call(pair.io, link.client->call("test", "Slow", "", kNoDeadline));
    co_await running.wait();
    link.client->close();
    co_await link.served->wait();
    co_await call.wait();
    gate.set();
    co_await finished.wait();
    co_return Result<void>{};
  }());
}

// A hostile server: the client's end for each kind of bytes.
std::string client_end_after(const std::string& bytes) {
  asio::io_context io;
  auto [here, there] = sockets();
  auto client = *Client::create(io.get_executor(), std::move(here));
  std::string text;
  run_test(io, [&]() -> Task<void> {
    Started<std::string> call(io, client.call("test", "Echo", "", kLong));
    EXPECT_TRUE(sys::write_all(there.get(), bytes));
    const auto closed = co_await client.wait_closed();
    EXPECT_EQ(closed.has_value(), false);
    const auto answer = co_await call.wait();
    EXPECT_EQ(answer.error().kind, ErrorKind::unavailable);
    text = answer.error().text();
    co_return Result<void>{};
  }());
  return text;
}

TEST(Client, EndsTheConnectionOnMalformedFrames) {
  EXPECT_EQ(client_end_after("\x7f\xff\xff\xff\0\0\0\1\2\0"s),
            "the connection has ended: a frame of 2147483647 bytes is past the limit of 4194304");
  EXPECT_EQ(client_end_after("\0\0\0\0\0\0\0\1\1\0"s),
            "the connection has ended: the server sent a request");
}

TEST(Client, FailsOneCallOnAnAnswerThatIsNoResponse) {
  asio::io_context io;
  auto [here, there] = sockets();
  auto client = *Client::create(io.get_executor(), std::move(here));
  run_test(io, [&]() -> Task<void> {
    const std::string unknown = *encode_frame({77, FrameType::response, 0, ""});
    const std::string garbage = *encode_frame({1, FrameType::response, 0, "\xff\xff"});
    Started<std::string> call(io, client.call("test", "Echo", "", kLong));
    co_await asio::post(io, asio::use_awaitable);
    EXPECT_TRUE(sys::write_all(there.get(), unknown + garbage));
    const auto answer = co_await call.wait();
    EXPECT_EQ(answer.error(),
              (Error{ErrorKind::unavailable, 0, "the answer is no ttrpc response"}));
    co_return Result<void>{};
  }());
}

TEST(Client, ReadsAnswersThatCameBeforeTheServerWent) {
  asio::io_context io;
  auto [here, there] = sockets();
  auto client = *Client::create(io.get_executor(), std::move(here));
  run_test(io, [&]() -> Task<void> {
    Started<std::string> call(io, client.call("test", "Shutdown", "", kLong));
    co_await asio::post(io, asio::use_awaitable);
    wire::Response response;
    response.set_payload("bye");
    EXPECT_TRUE(sys::write_all(
        there.get(), *encode_frame({1, FrameType::response, 0, response.SerializeAsString()})));
    ::shutdown(there.get(), SHUT_RDWR);
    // This write breaks (EPIPE, no SIGPIPE) before anything was read.
    Started<std::string> after(io, client.call("test", "Echo", "", kLong));
    const auto answer = co_await call.wait();
    EXPECT_EQ(answer, "bye");
    const auto failed = co_await after.wait();
    EXPECT_EQ(failed.error().kind, ErrorKind::unavailable);
    co_return Result<void>{};
  }());
}

TEST(Client, SaysWhatBrokeTheConnection) {
  asio::io_context io;
  auto [here, there] = sockets();
  auto client = *Client::create(io.get_executor(), std::move(here));
  run_test(io, [&]() -> Task<void> {
    EXPECT_TRUE(sys::write_all(there.get(), "\0\0\0"s));
    there.reset();
    const auto closed = co_await client.wait_closed();
    EXPECT_EQ(closed.error(),
              (Error{ErrorKind::unavailable, 0, "the connection ended within a message"}));
    co_return Result<void>{};
  }());
}

}  // namespace
}  // namespace agentvm::rpc
