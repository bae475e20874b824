#include "guest-agent/output_pump.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <string>
#include <thread>

#include "oci/base/sys.h"

namespace agentvm::guest {
namespace {

struct Ends {
  UniqueFd writer;  // of the pipe: what the process writes to
  UniqueFd reader;  // of the stream: what the host reads from
  std::unique_ptr<OutputPump> pump;
};

Ends make_ends(asio::io_context& io) {
  auto [read_end, write_end] = *sys::pipe();
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  auto [ours, theirs] = *sys::socket_pair(SOCK_STREAM);
  Ends ends;
  ends.writer = std::move(write_end);
  ends.reader = std::move(theirs);
  ends.pump = std::make_unique<OutputPump>(io.get_executor(), std::move(read_end), std::move(ours));
  return ends;
}

// The pump at work until run() has ended, and what the host read meanwhile.
std::string run_and_read(asio::io_context& io, Ends& ends) {
  std::string read;
  std::thread host([&] { read = sys::read_all(ends.reader.get(), 1 << 30).value_or("error"); });
  asio::co_spawn(io, [&]() -> asio::awaitable<void> { return ends.pump->run(); }, asio::detached);
  io.run();
  host.join();
  return read;
}

TEST(OutputPump, EndsWithItsSource) {
  asio::io_context io;
  Ends ends = make_ends(io);
  ASSERT_TRUE(sys::write_all(ends.writer.get(), "to the last byte").has_value());
  ends.writer.reset();
  EXPECT_EQ(run_and_read(io, ends), "to the last byte");
}

TEST(OutputPump, FinishHandsOnWhatIsThereAndDoesNotWaitForMore) {
  asio::io_context io;
  Ends ends = make_ends(io);
  ASSERT_TRUE(sys::write_all(ends.writer.get(), std::string(60000, 'x')).has_value());
  // The writer stays open, as a child left in the background would keep it.
  asio::post(io, [&] { ends.pump->finish(); });
  EXPECT_EQ(run_and_read(io, ends), std::string(60000, 'x'));
}

TEST(OutputPump, FinishEndsAlsoWhenSomebodyWritesForEver) {
  asio::io_context io;
  Ends ends = make_ends(io);
  ::signal(SIGPIPE, SIG_IGN);
  const std::string chunk(4096, 'y');
  ASSERT_TRUE(sys::write_all(ends.writer.get(), chunk).has_value());
  std::thread flood([&] {
    while (sys::write_all(ends.writer.get(), chunk).has_value()) {
    }
  });
  asio::post(io, [&] { ends.pump->finish(); });
  EXPECT_FALSE(run_and_read(io, ends).empty());
  flood.join();
}

TEST(OutputPump, ASinkThatIsGoneEndsIt) {
  asio::io_context io;
  Ends ends = make_ends(io);
  ends.reader.reset();
  ASSERT_TRUE(sys::write_all(ends.writer.get(), "nobody reads").has_value());
  asio::co_spawn(io, [&]() -> asio::awaitable<void> { return ends.pump->run(); }, asio::detached);
  io.run();
  ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(sys::write_all(ends.writer.get(), "x").error().errnum, EPIPE);
}

TEST(OutputPump, AbortEndsItWhileTheSinkIsFull) {
  asio::io_context io;
  Ends ends = make_ends(io);
  ::fcntl(ends.writer.get(), F_SETPIPE_SZ, 1 << 20);
  ::fcntl(ends.writer.get(), F_SETFL, O_NONBLOCK);
  const std::string chunk(65536, 'z');
  while (::write(ends.writer.get(), chunk.data(), chunk.size()) > 0) {
  }
  asio::co_spawn(io, [&]() -> asio::awaitable<void> { return ends.pump->run(); }, asio::detached);
  // Runs until the pump waits for its sink.
  while (io.poll() > 0) {
  }
  ends.pump->abort();
  io.restart();
  io.run();
}

TEST(OutputPump, ATerminalsHangUpIsItsEnd) {
  asio::io_context io;
  int master = -1;
  int slave = -1;
  ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  ::fcntl(master, F_SETFL, O_NONBLOCK);
  auto [ours, theirs] = *sys::socket_pair(SOCK_STREAM);
  Ends ends;
  ends.reader = std::move(theirs);
  ends.pump = std::make_unique<OutputPump>(io.get_executor(), UniqueFd(master), std::move(ours));
  ASSERT_TRUE(sys::write_all(slave, "bye\n").has_value());
  ::close(slave);
  EXPECT_EQ(run_and_read(io, ends), "bye\r\n");
}

}  // namespace
}  // namespace agentvm::guest
