#include "guest-agent/stream_table.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

#include "oci/base/sys.h"

namespace agentvm::guest {
namespace {

using namespace std::chrono_literals;

class StreamTableTest : public testing::Test {
 protected:
  // The agent's end of a fresh connection; the client's is client_.
  UniqueFd connect() {
    auto [ours, theirs] = *sys::socket_pair(SOCK_STREAM);
    client_ = std::move(theirs);
    return std::move(ours);
  }
  void say(std::string_view bytes) {
    ASSERT_TRUE(sys::write_all(client_.get(), bytes).has_value());
  }
  Result<void> admit(StreamTable& table, UniqueFd connection) {
    io_.restart();
    return run_to_end(io_, table.admit(std::move(connection)));
  }

  const std::string id_7_ = std::string("\x07\0\0\0\0\0\0\0", 8);
  asio::io_context io_;
  UniqueFd client_;
};

TEST_F(StreamTableTest, AnAdmittedStreamIsAnsweredAndClaimedOnce) {
  StreamTable table(io_.get_executor());
  UniqueFd connection = connect();
  say(id_7_ + "early bytes");
  ASSERT_TRUE(admit(table, std::move(connection)).has_value());
  char answer = 0;
  ASSERT_EQ(::recv(client_.get(), &answer, 1, 0), 1);
  EXPECT_EQ(answer, 1);
  const auto claimed = table.claim(7);
  ASSERT_TRUE(claimed.has_value());
  char early[11];
  ASSERT_EQ(::recv(claimed->get(), early, sizeof early, 0), 11);
  EXPECT_EQ(std::string(early, 11), "early bytes") << "what follows the id is the process's";
  EXPECT_EQ(table.claim(7).error().text(), "no stream 7 is open");
}

TEST_F(StreamTableTest, RefusesIdZeroAndIdsThatAreOpen) {
  StreamTable table(io_.get_executor());
  UniqueFd first = connect();
  say(std::string(8, '\0'));
  EXPECT_EQ(admit(table, std::move(first)).error().text(), "stream id 0");
  UniqueFd second = connect();
  say(id_7_);
  ASSERT_TRUE(admit(table, std::move(second)).has_value());
  UniqueFd third = connect();
  say(id_7_);
  EXPECT_EQ(admit(table, std::move(third)).error().text(), "stream 7 is open already");
}

TEST_F(StreamTableTest, AStreamThatEndsBeforeItsIdIsForgotten) {
  StreamTable table(io_.get_executor());
  UniqueFd connection = connect();
  say("\x01\x02");
  client_.reset();
  EXPECT_EQ(admit(table, std::move(connection)).error().text(), "stream ended before its id");
}

TEST_F(StreamTableTest, HoldsNoMoreThanItsLimit) {
  StreamTable table(io_.get_executor(), StreamLimits{.pending = 1, .claim = 30s, .handshake = 10s});
  UniqueFd first = connect();
  say(id_7_);
  ASSERT_TRUE(admit(table, std::move(first)).has_value());
  EXPECT_EQ(admit(table, connect()).error().text(), "too many streams that nobody claims");
}

TEST_F(StreamTableTest, SilenceIsNotWaitedForForEver) {
  StreamTable table(io_.get_executor(), StreamLimits{.pending = 9, .claim = 30s, .handshake = 5ms});
  EXPECT_EQ(admit(table, connect()).error().text(), "wait for a stream's id: timed out");
}

TEST_F(StreamTableTest, AStreamThatNobodyClaimsIsClosed) {
  StreamTable table(io_.get_executor(), StreamLimits{.pending = 9, .claim = 5ms, .handshake = 10s});
  UniqueFd connection = connect();
  say(id_7_);
  ASSERT_TRUE(admit(table, std::move(connection)).has_value());
  io_.restart();
  io_.run();
  EXPECT_EQ(table.pending(), 0u);
  char bytes[2];
  EXPECT_EQ(::recv(client_.get(), bytes, 2, 0), 1);
  EXPECT_EQ(::recv(client_.get(), bytes, 2, 0), 0) << "closed";
}

}  // namespace
}  // namespace agentvm::guest
