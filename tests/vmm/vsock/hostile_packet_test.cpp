// Packets no driver would send: each costs its own connection at most.
#include <vector>

#include "tests/vmm/vsock/vsock_fixture.h"

namespace agentvm::vmm::vsock::testing {

class HostilePacket : public VsockTest {
 protected:
  void SetUp() override { boot(); }

  // A well-formed packet on `end`, to be spoilt.
  PacketHeader header_on(const GuestEnd& end, Op op) const {
    return {.src_cid = kGuestCid,
            .dst_cid = kHostCid,
            .src_port = end.guest_port,
            .dst_port = end.host_port,
            .op = op,
            .buf_alloc = driver.buf_alloc};
  }

  // The connection is reset, the client closed, another connection not touched.
  void expect_reset(const PacketHeader& bad, std::string_view payload = {}) {
    Pair bystander = connect_from_host(11);
    const Pair victim = connect_from_host(12);
    PacketHeader header = bad;
    header.src_port = victim.guest.guest_port;
    header.dst_port = victim.guest.host_port;
    driver.send(header, payload);
    const Packet rst = driver.receive();
    EXPECT_EQ(rst.header.op, Op::rst);
    EXPECT_EQ(rst.header.dst_port, 12U);
    EXPECT_TRUE(at_end(victim.client.get()));
    send(bystander.guest, Op::rw, "fine");
    EXPECT_EQ(read_up_to(bystander.client.get(), 4), "fine");
    finish(bystander);
  }

  GuestEnd nobody{.guest_port = 60, .host_port = 61};
};

TEST_F(HostilePacket, FromAnotherCidIsIgnored) {
  for (const std::uint64_t cid : {0ULL, 1ULL, 2ULL, 4ULL, 3ULL << 32, ~0ULL}) {
    PacketHeader header = header_on(nobody, Op::request);
    header.src_cid = cid;
    driver.send(header);
  }
  EXPECT_TRUE(driver.settle().empty());
}

TEST_F(HostilePacket, ToAnotherCidIsReset) {
  PacketHeader header = header_on(nobody, Op::request);
  header.dst_cid = 5;
  driver.send(header);
  std::uint32_t head = 0;
  std::uint32_t written = 0;
  while (!driver.rx.take_used(head, written)) {
    driver.rx.want_interrupts(true);
    if (driver.rx.take_used(head, written)) break;
    ASSERT_TRUE(qemu.await_interrupt(kRxQueue));
  }
  HeaderBytes bytes{};
  std::memcpy(bytes.data(), qemu.at(kGuestBase + (1U << 20) + 12), bytes.size());
  const PacketHeader rst = decode_header(bytes);
  EXPECT_EQ(rst.op, Op::rst);
  EXPECT_EQ(rst.src_cid, 5U);  // in the name of the one that was spoken to
  EXPECT_EQ(rst.dst_cid, kGuestCid);
}

TEST_F(HostilePacket, OfAnotherTypeIsResetInThatType) {
  PacketHeader header = header_on(nobody, Op::request);
  header.type = 2;
  driver.send(header);
  const Packet rst = driver.receive();
  EXPECT_EQ(rst.header.op, Op::rst);
  EXPECT_EQ(rst.header.type, 2);
}

TEST_F(HostilePacket, WithoutAConnectionIsReset) {
  for (const Op op :
       {Op::invalid, Op::response, Op::shutdown, Op::rw, Op::credit_update, Op::credit_request}) {
    driver.send(header_on(nobody, op));
    const Packet rst = driver.receive();
    EXPECT_EQ(rst.header.op, Op::rst);
    EXPECT_EQ(rst.header.src_port, nobody.host_port);
    EXPECT_EQ(rst.header.dst_port, nobody.guest_port);
  }
}

TEST_F(HostilePacket, RstIsNeverAnswered) {
  driver.send(header_on(nobody, Op::rst));
  PacketHeader elsewhere = header_on(nobody, Op::rst);
  elsewhere.dst_cid = 9;
  driver.send(elsewhere);
  EXPECT_TRUE(driver.settle().empty());
}

TEST_F(HostilePacket, WithAnUnknownOpCostsItsConnection) {
  expect_reset(header_on(nobody, Op::invalid));
  expect_reset(header_on(nobody, static_cast<Op>(0xffff)));
}

TEST_F(HostilePacket, ASecondRequestCostsTheConnection) {
  expect_reset(header_on(nobody, Op::request));
}

TEST_F(HostilePacket, AResponseToNoRequestCostsTheConnection) {
  expect_reset(header_on(nobody, Op::response));
}

TEST_F(HostilePacket, DataLongerThanItsBufferCostsTheConnection) {
  for (const std::uint32_t length : {5U, 1U << 16, 0xffffffffU}) {
    PacketHeader header = header_on(nobody, Op::rw);
    header.len = length;
    expect_reset(header, "1234");
  }
}

TEST_F(HostilePacket, AShutdownThatSaysNothingCostsTheConnection) {
  for (const std::uint32_t flags : {0U, 4U, 7U, ~0U}) {
    PacketHeader header = header_on(nobody, Op::shutdown);
    header.flags = flags;
    expect_reset(header);
  }
}

TEST_F(HostilePacket, ClaimingBytesThatWereNeverSentCostsTheConnection) {
  PacketHeader header = header_on(nobody, Op::credit_update);
  header.fwd_cnt = 1;
  expect_reset(header);
}

TEST_F(HostilePacket, WithAnOlderForwardCountIsTaken) {
  const Pair pair = connect_from_host();
  write_all(pair.client.get(), "1234567890");
  EXPECT_EQ(receive_bytes(pair.guest, 10), "1234567890");
  send(pair.guest, Op::credit_update);
  driver.fwd_cnt = 4;
  send(pair.guest, Op::credit_update);
  EXPECT_TRUE(driver.settle().empty());
}

TEST_F(HostilePacket, ASmallerBufferThanIsOutstandingStopsTheClientAndNothingElse) {
  const Pair pair = connect_from_host();
  write_all(pair.client.get(), "1234567890");
  EXPECT_EQ(receive_bytes(pair.guest, 10), "1234567890");
  driver.fwd_cnt = 0;
  driver.buf_alloc = 3;
  send(pair.guest, Op::credit_update);
  write_all(pair.client.get(), "more");
  EXPECT_EQ(driver.receive().header.op, Op::credit_request);
  driver.buf_alloc = 0xffffffff;
  send(pair.guest, Op::credit_update);
  EXPECT_EQ(driver.receive().payload, "more");
}

TEST_F(HostilePacket, OverrunningTheCreditCostsTheConnection) {
  const Pair pair = connect_from_host();
  const std::string block(64U << 10, 'x');
  // The client reads nothing; the guest does not care for credit.
  Packet packet;
  for (int i = 0; i < 100 && packet.header.op != Op::rst; ++i) {
    send(pair.guest, Op::rw, block);
    while (driver.has_packet()) packet = driver.receive();
  }
  while (packet.header.op == Op::credit_update || packet.header.op == Op::invalid) {
    packet = driver.receive();
  }
  EXPECT_EQ(packet.header.op, Op::rst);
  EXPECT_LT(std::stoul(backend.status("RssAnon")), 16384U);  // kB
}

TEST_F(HostilePacket, DataAfterTheEndCostsTheConnection) {
  const Pair pair = connect_from_host();
  send(pair.guest, Op::shutdown, {}, kShutdownSend);
  send(pair.guest, Op::rw, "more");
  EXPECT_EQ(driver.receive().header.op, Op::rst);
}

TEST_F(HostilePacket, DataBeforeTheAnswerCostsTheConnection) {
  const UniqueFd client = backend.connect_client(5);
  const Packet request = driver.receive();
  driver.send(Op::rw, 5, request.header.src_port, "eager");
  EXPECT_EQ(driver.receive().header.op, Op::rst);
  EXPECT_TRUE(at_end(client.get()));
}

TEST_F(HostilePacket, AnEmptyOneIsNothing) {
  const Pair pair = connect_from_host();
  send(pair.guest, Op::rw);
  send(pair.guest, Op::rw, "x");
  EXPECT_EQ(read_up_to(pair.client.get(), 1), "x");
  EXPECT_TRUE(driver.settle().empty());
}

// A guest that provokes answers and takes none: its packets stay where they are.
TEST_F(HostilePacket, InAFloodStopsTheGuestAndNotTheDevice) {
  driver.start_without_buffers();
  // 64 answers are owed, and as many packets as the ring has room for.
  for (std::uint32_t i = 0; i < 64 + kSlots; ++i) driver.send(Op::rw, 1000 + i, 1);
  driver.give_buffers(kSlots);
  for (std::uint32_t i = 0; i < 64 + kSlots; ++i) {
    const Packet rst = driver.receive();
    ASSERT_EQ(rst.header.op, Op::rst);
    EXPECT_EQ(rst.header.dst_port, 1000 + i);
  }
  expect_service();
}

}  // namespace agentvm::vmm::vsock::testing
