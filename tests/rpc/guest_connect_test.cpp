#include "rpc/guest_connect.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "oci/base/sys.h"
#include "rpc/ports.h"
#include "tests/rpc/loop.h"

namespace agentvm::rpc {
namespace {

using std::string_literals::operator""s;
constexpr std::chrono::milliseconds kLong{60000};

std::string read_bytes(int fd, std::size_t count) {
  std::string bytes(count, '\0');
  const ssize_t n = ::recv(fd, bytes.data(), count, MSG_WAITALL);
  bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return bytes;
}

// The socket of a hybrid vsock backend; each connection is played by a function on a thread.
class Backend : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/agentvm-guest-connect-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
    dir_ = *sys::open_at(AT_FDCWD, path_, O_PATH | O_DIRECTORY);
  }
  void TearDown() override {
    if (thread_.joinable()) thread_.join();
    std::filesystem::remove_all(path_);
  }
  void play(std::function<void(int)> part) {
    auto listener = sys::listen_unix_at(dir_.get(), "vsock.sock", 0600);
    ASSERT_TRUE(listener);
    thread_ = std::thread([part = std::move(part), listener = std::move(*listener)] {
      const UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      part(connection.get());
    });
  }
  Result<UniqueFd> connect(std::uint32_t port, std::chrono::milliseconds timeout = kLong) {
    asio::io_context io;
    return run_to_end(io, connect_guest(dir_.get(), "vsock.sock", port, timeout));
  }
  Result<UniqueFd> open_stream(std::uint64_t id, std::chrono::milliseconds timeout = kLong) {
    asio::io_context io;
    return run_to_end(io, open_guest_stream(dir_.get(), "vsock.sock", id, timeout));
  }

  std::string path_;
  UniqueFd dir_;
  std::thread thread_;
};

using ConnectGuest = Backend;
using OpenGuestStream = Backend;

TEST_F(ConnectGuest, AsksForThePortAndLeavesWhatTheGuestSays) {
  std::string asked;
  play([&](int peer) {
    asked = read_bytes(peer, 13);
    EXPECT_TRUE(sys::write_all(peer, "OK 1073741824\nOK 7\nguest"));
  });
  const auto guest = connect(1024);
  ASSERT_TRUE(guest) << guest.error().text();
  EXPECT_EQ(read_bytes(guest->get(), 10), "OK 7\nguest");
  EXPECT_NE(::fcntl(guest->get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(guest->get(), F_GETFD) & FD_CLOEXEC, 0);
  thread_.join();
  EXPECT_EQ(asked, "CONNECT 1024\n");
}

TEST_F(ConnectGuest, TakesAnAnswerThatComesInPieces) {
  play([&](int peer) {
    read_bytes(peer, 10);
    for (const char c : "OK 12\nx"s) EXPECT_TRUE(sys::write_all(peer, {&c, 1}));
  });
  const auto guest = connect(80);
  ASSERT_TRUE(guest) << guest.error().text();
  thread_.join();
  EXPECT_EQ(read_bytes(guest->get(), 1), "x");
}

TEST_F(ConnectGuest, SaysThatThePortIsRefused) {
  play([](int peer) { read_bytes(peer, 13); });
  const auto guest = connect(1024);
  ASSERT_FALSE(guest);
  EXPECT_EQ(guest.error(),
            (Error{ErrorKind::unavailable, 0,
                   "connect to port 1024 of the guest: the connection was closed without an "
                   "answer"}));
}

TEST_F(ConnectGuest, QuotesAnAnswerThatIsNotOk) {
  play([](int peer) {
    read_bytes(peer, 13);
    EXPECT_TRUE(sys::write_all(peer, "ERR \x1b[2J\n"));
  });
  EXPECT_EQ(connect(1024).error().text(),
            "connect to port 1024 of the guest: the answer was 'ERR  [2J'");
}

TEST_F(ConnectGuest, RefusesAnOkWithoutANumber) {
  play([](int peer) {
    read_bytes(peer, 13);
    EXPECT_TRUE(sys::write_all(peer, "OK 12a\n"));
  });
  EXPECT_EQ(connect(1024).error().text(),
            "connect to port 1024 of the guest: the answer was 'OK 12a'");
}

TEST_F(ConnectGuest, ReadsABoundedAnswer) {
  play([](int peer) {
    read_bytes(peer, 13);
    EXPECT_TRUE(sys::write_all(peer, "OK " + std::string(100, '1')));
  });
  EXPECT_THAT(connect(1024).error().text(), testing::HasSubstr("11' has no end"));
}

TEST_F(ConnectGuest, EndsAtItsDeadline) {
  play([](int peer) { read_bytes(peer, 100); });
  EXPECT_EQ(connect(1024, std::chrono::milliseconds(20)).error(),
            (Error{ErrorKind::unavailable, 0,
                   "connect to port 1024 of the guest: no answer within 20 ms"}));
}

// "No such file" would be the user's missing program to Docker.
TEST_F(ConnectGuest, SaysThatTheVmIsGoneWithoutNamingAFile) {
  const Error expected{ErrorKind::unavailable, 0,
                       "nobody serves the VM's vsock socket 'vsock.sock'"};
  EXPECT_EQ(connect(1024).error(), expected) << "no socket";
  ASSERT_TRUE(sys::listen_unix_at(dir_.get(), "vsock.sock", 0600));
  EXPECT_EQ(connect(1024).error(), expected) << "a socket that nobody listens on any more";
}

TEST_F(ConnectGuest, DoesNotWaitForABackendThatAcceptsNobody) {
  const auto listener = sys::listen_unix_at(dir_.get(), "vsock.sock", 0600);
  ASSERT_TRUE(listener);
  ASSERT_EQ(::listen(listener->get(), 0), 0);
  const auto first = sys::connect_unix_at(dir_.get(), "vsock.sock");
  ASSERT_TRUE(first);
  EXPECT_EQ(connect(1024).error().text(),
            "the VM's vsock socket 'vsock.sock' takes no more connections");
}

TEST_F(OpenGuestStream, SendsTheIdAndAwaitsTheAgentsByte) {
  std::string asked;
  play([&](int peer) {
    asked = read_bytes(peer, 13);
    EXPECT_TRUE(sys::write_all(peer, "OK 1\n"));
    asked += read_bytes(peer, 8);
    EXPECT_TRUE(sys::write_all(peer, "\x01hello"));
  });
  const auto stream = open_stream(0x0102030405060708);
  ASSERT_TRUE(stream) << stream.error().text();
  EXPECT_EQ(read_bytes(stream->get(), 5), "hello");
  thread_.join();
  EXPECT_EQ(asked, "CONNECT 1025\n\x08\x07\x06\x05\x04\x03\x02\x01");
}

TEST_F(OpenGuestStream, SaysThatTheAgentDidNotTakeIt) {
  play([&](int peer) {
    read_bytes(peer, 13);
    EXPECT_TRUE(sys::write_all(peer, "OK 1\n"));
    read_bytes(peer, 8);
  });
  EXPECT_EQ(open_stream(0xab).error().text(),
            "open stream 00000000000000ab of the guest: the connection was closed without an "
            "answer");
}

TEST_F(OpenGuestStream, RefusesAnyOtherByte) {
  play([&](int peer) {
    read_bytes(peer, 13);
    EXPECT_TRUE(sys::write_all(peer, "OK 1\n"));
    read_bytes(peer, 8);
    EXPECT_TRUE(sys::write_all(peer, "\x02"));
  });
  EXPECT_EQ(open_stream(0xab).error().text(),
            "open stream 00000000000000ab of the guest: the answer was byte 0x02");
}

TEST_F(OpenGuestStream, HasOneDeadlineForBothSteps) {
  play([&](int peer) {
    read_bytes(peer, 13);
    EXPECT_TRUE(sys::write_all(peer, "OK 1\n"));
    read_bytes(peer, 100);
  });
  EXPECT_EQ(open_stream(0xab, std::chrono::milliseconds(20)).error().text(),
            "open stream 00000000000000ab of the guest: no answer within 20 ms");
}

TEST_F(OpenGuestStream, HasNoStreamZero) {
  EXPECT_EQ(open_stream(0).error(), (Error{ErrorKind::invalid_argument, 0, "stream id 0"}));
}

}  // namespace
}  // namespace agentvm::rpc
