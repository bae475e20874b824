#include "rpc/stream_relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <termios.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "tests/rpc/loop.h"
#include "tests/rpc/relay_ends.h"

namespace agentvm::rpc {
namespace {

class Relay : public testing::Test {
 protected:
  // The hard case: most mains ignore it.
  Relay() { ::signal(SIGPIPE, SIG_DFL); }

  std::unique_ptr<Started<std::uint64_t>> start(int from, int to, RelayOptions options = {}) {
    return std::make_unique<Started<std::uint64_t>>(io_, relay(from, to, std::move(options)));
  }
  // Lets everything that can run do so, until nothing is left to do without an event.
  Task<void> settle() {
    for (int i = 0; i < 50; ++i) co_await asio::post(io_, asio::use_awaitable);
    co_return Result<void>{};
  }

  // As many bytes, which a pty hands on from a kernel thread some time.
  Task<std::string> take(int fd, std::size_t count) {
    std::string bytes;
    while (bytes.size() < count) {
      pollfd readable{fd, POLLIN, 0};
      if (::poll(&readable, 1, 0) == 0) {
        co_await asio::post(io_, asio::use_awaitable);
        continue;
      }
      std::string piece(count - bytes.size(), '\0');
      const ssize_t n = ::read(fd, piece.data(), piece.size());
      if (n <= 0) break;
      bytes.append(piece, 0, static_cast<std::size_t>(n));
    }
    co_return bytes;
  }

  asio::io_context io_;
};

// As many bytes as the pipe takes.
std::size_t fill(int pipe) {
  const int flags = ::fcntl(pipe, F_GETFL);
  ::fcntl(pipe, F_SETFL, flags | O_NONBLOCK);
  std::size_t filled = 0;
  const std::string chunk(4096, 'f');
  for (ssize_t n = 0; (n = ::write(pipe, chunk.data(), chunk.size())) > 0;) {
    filled += static_cast<std::size_t>(n);
  }
  ::fcntl(pipe, F_SETFL, flags);
  return filled;
}

std::string read_exactly(int fd, std::size_t count) {
  std::string bytes;
  while (bytes.size() < count) {
    std::string piece(count - bytes.size(), '\0');
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n <= 0) break;
    bytes.append(piece, 0, static_cast<std::size_t>(n));
  }
  return bytes;
}

// A file system identity that may not open the pipes of this process anew.
class ForeignPipes {
 public:
  ForeignPipes() { ::setfsuid(65534); }
  ~ForeignPipes() { ::setfsuid(0); }
  ForeignPipes(const ForeignPipes&) = delete;
  ForeignPipes& operator=(const ForeignPipes&) = delete;
};

TEST_F(Relay, WaitsForAFullPipeWithoutHoldingUpTheLoop) {
  for (const bool foreign : {false, true}) {
    for (const bool from_socket : {false, true}) {
      SCOPED_TRACE(testing::Message() << "foreign " << foreign << ", socket " << from_socket);
      std::optional<ForeignPipes> identity;
      if (foreign) identity.emplace();
      Ends from = from_socket ? socket_ends(true) : source_pipe();
      Ends to = sink_pipe();
      const std::size_t filled = fill(to.near.get());
      io_.restart();
      run_test(io_, [&]() -> Task<void> {
        EXPECT_TRUE(sys::write_all(from.far.get(), sequence(0, 30000)));
        from.far.reset();
        auto copying = start(from.near.get(), to.near.get());
        co_await settle();
        EXPECT_FALSE(copying->done());
        EXPECT_EQ(read_exactly(to.far.get(), filled), std::string(filled, 'f'));
        const auto copied = co_await copying->wait();
        EXPECT_EQ(copied, 30000u);
        EXPECT_EQ(read_exactly(to.far.get(), 30000), sequence(0, 30000));
        co_return Result<void>{};
      }());
    }
  }
}

TEST_F(Relay, CopiesBetweenPipesThatItMayNotOpenAnew) {
  const ForeignPipes identity;
  Ends from = source_pipe();
  Ends to = sink_pipe();
  const Writer writer(std::move(from.far), 1'000'001);
  Reader reader(std::move(to.far));
  // /dev/null keeps splice(2) out of one of the two.
  Ends middle = socket_ends(false);
  auto first = start(from.near.get(), middle.near.get());
  auto second = start(middle.far.get(), to.near.get());
  run_test(io_, [&]() -> Task<void> {
    const auto one = co_await first->wait();
    EXPECT_EQ(one, 1'000'001u);
    const auto two = co_await second->wait();
    EXPECT_EQ(two, 1'000'001u);
    EXPECT_EQ(::fcntl(to.near.get(), F_GETFL) & O_NONBLOCK, 0);
    to.near.reset();
    co_return Result<void>{};
  }());
  EXPECT_EQ(reader.received(), 1'000'001u);
}

TEST_F(Relay, PassesSmallPiecesOnAsTheyCome) {
  Ends from = source_pipe();
  Ends to = socket_ends(true);
  run_test(io_, [&]() -> Task<void> {
    auto copying = start(from.near.get(), to.near.get());
    for (std::uint64_t i = 0; i < 100; ++i) {
      EXPECT_TRUE(sys::write_all(from.far.get(), sequence(i, 1)));
      co_await settle();
      EXPECT_EQ(read_exactly(to.far.get(), 1), sequence(i, 1));
    }
    EXPECT_TRUE(sys::write_all(from.far.get(), "last"));
    from.far.reset();
    const auto copied = co_await copying->wait();
    EXPECT_EQ(copied, 104u);
    EXPECT_EQ(read_exactly(to.far.get(), 100), "last") << "and then the end";
    co_return Result<void>{};
  }());
}

TEST_F(Relay, KeepsTheOtherDirectionOfASocketOpen) {
  Ends from = source_pipe();
  Ends to = socket_ends(true);
  run_test(io_, [&]() -> Task<void> {
    from.far.reset();
    auto copying = start(from.near.get(), to.near.get());
    const auto copied = co_await copying->wait();
    EXPECT_EQ(copied, 0u);
    EXPECT_EQ(read_exactly(to.far.get(), 1), "");
    EXPECT_TRUE(sys::write_all(to.far.get(), "answer"));
    EXPECT_EQ(read_exactly(to.near.get(), 6), "answer");
    co_return Result<void>{};
  }());
}

TEST_F(Relay, LeavesTheSocketOpenWhenToldSo) {
  Ends from = source_pipe();
  Ends to = socket_ends(true);
  from.far.reset();
  run_test(io_, [&]() -> Task<void> {
    auto copying = start(from.near.get(), to.near.get(), {.half_close = false});
    const auto copied = co_await copying->wait();
    EXPECT_EQ(copied, 0u);
    EXPECT_TRUE(sys::write_all(to.near.get(), "more"));
    EXPECT_EQ(read_exactly(to.far.get(), 4), "more");
    co_return Result<void>{};
  }());
}

TEST_F(Relay, SaysThatTheSinkBrokeAndSurvives) {
  for (const int kinds : {0, 1, 2, 3}) {
    const bool pipe = kinds % 2 == 1;
    Ends from = kinds < 2 ? source_pipe() : socket_ends(false);
    Ends to = pipe ? sink_pipe() : socket_ends(true);
    to.far.reset();
    EXPECT_TRUE(sys::write_all(from.far.get(), "nobody reads this"));
    io_.restart();
    run_test(io_, [&]() -> Task<void> {
      auto copying = start(from.near.get(), to.near.get(), {.to_name = "standard output"});
      const auto copied = co_await copying->wait();
      EXPECT_EQ(copied.error(), (Error{ErrorKind::unavailable, EPIPE, "write to standard output"}));
      EXPECT_EQ(copied.error().text(), "write to standard output: Broken pipe");
      sigset_t set;
      ::sigpending(&set);
      EXPECT_EQ(::sigismember(&set, SIGPIPE), 0);
      ::pthread_sigmask(SIG_SETMASK, nullptr, &set);
      EXPECT_EQ(::sigismember(&set, SIGPIPE), 0);
      co_return Result<void>{};
    }());
  }
}

TEST_F(Relay, NoticesABrokenSinkWhileTheSourceIsSilent) {
  for (const bool pipe : {false, true}) {
    Ends from = source_pipe();
    Ends to = pipe ? sink_pipe() : socket_ends(true);
    io_.restart();
    run_test(io_, [&]() -> Task<void> {
      auto watching = start(from.near.get(), to.near.get());
      auto patient = start(from.near.get(), to.near.get(), {.watch_sink = false});
      co_await settle();
      EXPECT_FALSE(watching->done());
      to.far.reset();
      const auto copied = co_await watching->wait();
      EXPECT_EQ(copied.error().text(), "write to the sink: Broken pipe");
      co_await settle();
      EXPECT_FALSE(patient->done());
      EXPECT_TRUE(sys::write_all(from.far.get(), "x"));
      const auto written = co_await patient->wait();
      EXPECT_EQ(written.error().text(), "write to the sink: Broken pipe");
      co_return Result<void>{};
    }());
  }
}

TEST_F(Relay, SaysThatTheSourceBroke) {
  Ends from = socket_ends(true);
  Ends to = sink_pipe();
  run_test(io_, [&]() -> Task<void> {
    auto copying = start(from.near.get(), to.near.get(), {.from_name = "the guest's stream"});
    // Closed with bytes unread: a reset.
    EXPECT_TRUE(sys::write_all(from.near.get(), "unread"));
    EXPECT_TRUE(sys::write_all(from.far.get(), "sent before"));
    from.far.reset();
    const auto copied = co_await copying->wait();
    EXPECT_EQ(copied.error(),
              (Error{ErrorKind::unavailable, ECONNRESET, "read from the guest's stream"}));
    EXPECT_EQ(read_exactly(to.far.get(), 11), "sent before");
    co_return Result<void>{};
  }());
}

TEST_F(Relay, IsCancelledByItsSlotWhereverItWaits) {
  for (const bool sink_full : {false, true}) {
    Ends from = source_pipe();
    Ends to = sink_pipe();
    if (sink_full) {
      fill(to.near.get());
      EXPECT_TRUE(sys::write_all(from.far.get(), "stuck"));
    }
    asio::cancellation_signal cancel;
    Result<std::uint64_t> outcome = 0;
    Event done(io_);
    io_.restart();
    asio::co_spawn(io_, relay(from.near.get(), to.near.get()),
                   asio::bind_cancellation_slot(cancel.slot(), [&](const std::exception_ptr& thrown,
                                                                   Result<std::uint64_t> result) {
                     EXPECT_EQ(thrown, nullptr);
                     outcome = std::move(result);
                     done.set();
                   }));
    run_test(io_, [&]() -> Task<void> {
      co_await settle();
      EXPECT_FALSE(done.is_set());
      cancel.emit(asio::cancellation_type::terminal);
      co_await done.wait();
      EXPECT_EQ(outcome.error().errnum, ECANCELED);
      co_return Result<void>{};
    }());
  }
}

TEST_F(Relay, IsCancelledWhileItNeverWaits) {
  const UniqueFd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  asio::cancellation_signal cancel;
  Result<std::uint64_t> outcome = 0;
  Event done(io_);
  asio::co_spawn(io_, relay(zero.get(), null.get()),
                 asio::bind_cancellation_slot(
                     cancel.slot(), [&](const std::exception_ptr&, Result<std::uint64_t> result) {
                       outcome = std::move(result);
                       done.set();
                     }));
  run_test(io_, [&]() -> Task<void> {
    co_await settle();
    EXPECT_FALSE(done.is_set());
    cancel.emit(asio::cancellation_type::terminal);
    co_await done.wait();
    EXPECT_EQ(outcome.error().errnum, ECANCELED);
    co_return Result<void>{};
  }());
}

struct Pty {
  Pty() {
    int master_fd = -1;
    int slave_fd = -1;
    termios raw{};
    ::cfmakeraw(&raw);
    EXPECT_EQ(::openpty(&master_fd, &slave_fd, nullptr, &raw, nullptr), 0);
    master.reset(master_fd);
    slave.reset(slave_fd);
  }
  UniqueFd master;
  UniqueFd slave;
};

TEST_F(Relay, CopiesFromAndToATerminalWithoutTouchingItsFlags) {
  Pty pty;
  Ends from = source_pipe();
  Ends to = socket_ends(true);
  run_test(io_, [&]() -> Task<void> {
    auto input = start(pty.slave.get(), to.near.get());
    auto output = start(from.near.get(), pty.slave.get());
    EXPECT_TRUE(sys::write_all(pty.master.get(), "typed"));
    EXPECT_TRUE(sys::write_all(from.far.get(), "shown"));
    const auto typed_text = co_await take(to.far.get(), 5);
    EXPECT_EQ(typed_text, "typed");
    const auto shown_text = co_await take(pty.master.get(), 5);
    EXPECT_EQ(shown_text, "shown");
    EXPECT_EQ(::fcntl(pty.slave.get(), F_GETFL) & O_NONBLOCK, 0);
    from.far.reset();
    const auto copied = co_await output->wait();
    EXPECT_EQ(copied, 5u);
    EXPECT_TRUE(sys::write_all(pty.master.get(), "!"));
    pty.master.reset();
    const auto typed = co_await input->wait();
    EXPECT_TRUE(typed) << "a terminal that hung up has ended: " << typed.error().text();
    EXPECT_GE(*typed, 5u) << "the kernel may drop input at the hang-up";
    co_return Result<void>{};
  }());
}

TEST_F(Relay, CopiesFromAPtysMasterToTheLastByte) {
  for (const bool non_blocking : {false, true}) {
    Pty pty;
    if (non_blocking) ::fcntl(pty.master.get(), F_SETFL, O_NONBLOCK);
    Ends to = sink_pipe();
    constexpr std::uint64_t kTotal = 300'000;
    const Writer writer(std::move(pty.slave), kTotal);
    Reader reader(std::move(to.far));
    io_.restart();
    const auto copied = run_to_end(io_, relay(pty.master.get(), to.near.get()));
    EXPECT_EQ(copied, kTotal);
    to.near.reset();
    EXPECT_EQ(reader.received(), kTotal);
  }
}

TEST_F(Relay, SaysThatATerminalSinkHungUp) {
  Pty pty;
  Ends from = source_pipe();
  run_test(io_, [&]() -> Task<void> {
    auto copying = start(from.near.get(), pty.slave.get(), {.to_name = "the terminal"});
    co_await settle();
    pty.master.reset();
    const auto copied = co_await copying->wait();
    EXPECT_EQ(copied.error(), (Error{ErrorKind::unavailable, EIO, "write to the terminal"}));
    co_return Result<void>{};
  }());
}

TEST_F(Relay, LeavesNoFileDescriptorBehind) {
  const auto count = [] {
    int open = 0;
    for (int fd = 0; fd < 256; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return open;
  };
  Ends from = source_pipe();
  Ends to = sink_pipe();
  run_test(io_, [&]() -> Task<void> {
    const Event event(io_);  // makes the loop open its own
    const int before = count();
    auto copying = start(from.near.get(), to.near.get());
    co_await settle();
    from.far.reset();
    co_await copying->wait();
    copying.reset();
    co_await settle();
    EXPECT_EQ(count(), before - 1) << "the test closed one";
    co_return Result<void>{};
  }());
}

}  // namespace
}  // namespace agentvm::rpc
