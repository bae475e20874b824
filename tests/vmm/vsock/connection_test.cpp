// The state machine alone: what is said to the guest, and in which order.
#include "vmm/vsock/connection.h"

#include <gtest/gtest.h>

#include <vector>

#include "vmm/vsock/connect_line.h"

namespace agentvm::vmm::vsock {

namespace {

constexpr std::uint32_t kWindow = 1000;
constexpr Ports kPorts{.host = 50, .guest = 60};

PacketHeader from_guest(Op op, std::uint32_t fwd_cnt = 0, std::uint32_t len = 0) {
  return {.src_cid = 3,
          .dst_cid = 2,
          .src_port = 60,
          .dst_port = 50,
          .len = len,
          .op = op,
          .buf_alloc = 500,
          .fwd_cnt = fwd_cnt};
}

std::vector<Op> due(Connection& connection) {
  std::vector<Op> ops;
  while (const auto header = connection.next_control()) ops.push_back(header->op);
  return ops;
}

Connection open_connection() {
  Connection connection = Connection::make_outgoing(kPorts, 3, kWindow);
  EXPECT_EQ(due(connection), std::vector{Op::request});
  EXPECT_EQ(connection.receive(from_guest(Op::response), 0), Reaction::established);
  return connection;
}

}  // namespace

TEST(Connection, AsksOnceAndSendsNothingBeforeTheAnswer) {
  Connection connection = Connection::make_outgoing(kPorts, 3, kWindow);
  EXPECT_FALSE(connection.request_sent());
  EXPECT_EQ(connection.send_credit(), 0U);
  const auto request = connection.next_control();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->src_cid, 2U);
  EXPECT_EQ(request->dst_cid, 3U);
  EXPECT_EQ(request->src_port, 50U);
  EXPECT_EQ(request->dst_port, 60U);
  EXPECT_EQ(request->buf_alloc, kWindow);
  EXPECT_TRUE(connection.request_sent());
  EXPECT_FALSE(connection.has_control());
}

TEST(Connection, AnswersTheGuestsRequestAndHasItsCredit) {
  Connection connection = Connection::make_incoming(from_guest(Op::request), kWindow);
  EXPECT_EQ(connection.ports(), kPorts);
  EXPECT_EQ(connection.send_credit(), 500U);
  EXPECT_EQ(due(connection), std::vector{Op::response});
}

TEST(Connection, CountsCreditAroundTheEndOfItsCounters) {
  Connection connection = open_connection();
  std::uint32_t sent = 0;
  // 2^32 bytes and some, in steps of the guest's whole buffer.
  for (std::uint64_t total = 0; total < (1ULL << 32) + 5000; total += 500'000'000) {
    PacketHeader large = from_guest(Op::credit_update, sent);
    large.buf_alloc = 500'000'000;
    ASSERT_EQ(connection.receive(large, 0), Reaction::none);
    ASSERT_EQ(connection.send_credit(), 500'000'000U);
    (void)connection.data_header(500'000'000);
    sent += 500'000'000;
    ASSERT_EQ(connection.send_credit(), 0U);
  }
}

TEST(Connection, AsksForCreditOnceUntilThereIsSome) {
  Connection connection = open_connection();
  (void)connection.data_header(500);
  EXPECT_EQ(connection.send_credit(), 0U);
  EXPECT_EQ(due(connection), std::vector{Op::credit_request});
  EXPECT_EQ(connection.send_credit(), 0U);
  EXPECT_TRUE(due(connection).empty());
  EXPECT_EQ(connection.receive(from_guest(Op::credit_update, 500), 0), Reaction::none);
  EXPECT_EQ(connection.send_credit(), 500U);
}

TEST(Connection, GivesCreditBackByTheHalfWindow) {
  Connection connection = open_connection();
  EXPECT_EQ(connection.receive(from_guest(Op::rw, 0, 1000), 1000), Reaction::data);
  EXPECT_EQ(connection.receive(from_guest(Op::rw, 0, 1), 1), Reaction::violation);
  connection.consumed(499);
  EXPECT_FALSE(connection.has_control());
  connection.consumed(1);
  const auto update = connection.next_control();
  ASSERT_TRUE(update);
  EXPECT_EQ(update->op, Op::credit_update);
  EXPECT_EQ(update->fwd_cnt, 500U);
}

TEST(Connection, ADataPacketIsACreditUpdateToo) {
  Connection connection = open_connection();
  EXPECT_EQ(connection.receive(from_guest(Op::rw, 0, 1000), 1000), Reaction::data);
  connection.consumed(1000);
  EXPECT_TRUE(connection.has_control());
  EXPECT_EQ(connection.data_header(1).fwd_cnt, 1000U);
  EXPECT_FALSE(connection.has_control());
}

TEST(Connection, SaysTheWholeOfAShutdownWhenItsPartsWereNotSaid) {
  Connection connection = open_connection();
  connection.client_finished();
  connection.client_gone();
  const auto shutdown = connection.next_control();
  ASSERT_TRUE(shutdown);
  EXPECT_EQ(shutdown->op, Op::shutdown);
  EXPECT_EQ(shutdown->flags, kShutdownBoth);
  EXPECT_TRUE(due(connection).empty());
  EXPECT_TRUE(connection.is_lingering());
}

TEST(Connection, TakesWhatWasUnderWayWhenTheClientLeft) {
  Connection connection = open_connection();
  connection.client_gone();
  EXPECT_EQ(connection.receive(from_guest(Op::rw, 0, 1000), 1000), Reaction::discard);
  EXPECT_EQ(connection.receive(from_guest(Op::rst), 0), Reaction::closed);
}

TEST(ConnectLine, IsAVerbAndAPort) {
  EXPECT_EQ(parse_connect_line("CONNECT 0"), 0U);
  EXPECT_EQ(parse_connect_line("CONNECT 4294967294"), 4294967294U);
  for (const char* const line : {"", "CONNECT", "CONNECT ", "CONNECT 4294967295",
                                 "CONNECT 99999999999", "CONNECT 1x", "CONNECT +1", "CONNECT  1"}) {
    EXPECT_FALSE(parse_connect_line(line)) << line;
  }
}

}  // namespace agentvm::vmm::vsock
