// Bytes on connections: all of them, in order, both ways, with each side's pace respected.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "tests/vmm/vsock/vsock_fixture.h"

namespace agentvm::vmm::vsock::testing {

namespace {

constexpr std::size_t kBulk = 100U << 20;

std::string random_bytes(std::size_t count) {
  std::minstd_rand random(7);
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

struct Digest {
  std::size_t count = 0;
  std::uint64_t value = 0;
  void add(std::string_view bytes) {
    count += bytes.size();
    for (const char byte : bytes) value = value * 31 + static_cast<unsigned char>(byte);
  }
  friend bool operator==(const Digest&, const Digest&) = default;
};

}  // namespace

class Stream : public VsockTest {
 protected:
  void SetUp() override { boot(); }

  // Sends as a guest does: never more than the device gave credit for.
  void send_bulk(const GuestEnd& end, std::size_t total, const std::string& block, Digest& sent) {
    std::uint32_t sent_count = 0;
    std::uint32_t credit_until = 256U << 10;
    std::size_t offset = 0;
    while (sent.count < total) {
      const auto room = static_cast<std::int32_t>(credit_until - sent_count);
      // Packets of many sizes.
      const std::size_t size =
          std::min({block.size() - offset, total - sent.count, 1 + (sent.count * 7919) % kTxBytes});
      if (room < static_cast<std::int32_t>(size)) {
        const Packet packet = driver.receive();
        ASSERT_EQ(packet.header.op, Op::credit_update);
        credit_until = packet.header.fwd_cnt + packet.header.buf_alloc;
        continue;
      }
      const auto piece = std::string_view(block).substr(offset, size);
      send(end, Op::rw, piece);
      sent.add(piece);
      sent_count += static_cast<std::uint32_t>(size);
      offset = (offset + size) % block.size();
    }
  }
};

TEST_F(Stream, CarriesAHundredMegabytesFromTheGuestUnchanged) {
  const Pair pair = connect_from_host();
  const std::string block = random_bytes(1U << 20);
  Digest received;
  std::jthread reader([&] {
    while (received.count < kBulk) {
      const std::string bytes =
          read_up_to(pair.client.get(), std::min<std::size_t>(kBulk - received.count, 100000));
      if (bytes.empty()) return;
      received.add(bytes);
    }
  });
  Digest sent;
  send_bulk(pair.guest, kBulk, block, sent);
  reader.join();
  EXPECT_EQ(sent, received);
}

TEST_F(Stream, CarriesAHundredMegabytesToTheGuestUnchanged) {
  const Pair pair = connect_from_host();
  const std::string block = random_bytes(1U << 20);
  Digest sent;
  std::jthread writer([&] {
    for (std::size_t i = 0; i < kBulk / block.size(); ++i) {
      write_all(pair.client.get(), block);
      sent.add(block);
    }
  });
  Digest received;
  std::uint32_t told = 0;
  while (received.count < kBulk) {
    const Packet packet = driver.receive();
    ASSERT_TRUE(packet.header.op == Op::rw || packet.header.op == Op::credit_request);
    received.add(packet.payload);
    driver.fwd_cnt += packet.header.len;
    if (driver.fwd_cnt - told >= driver.buf_alloc / 2) {
      send(pair.guest, Op::credit_update);
      told = driver.fwd_cnt;
    }
  }
  writer.join();
  EXPECT_EQ(sent, received);
}

TEST_F(Stream, TakesNoMoreFromTheClientThanTheGuestHasRoomFor) {
  driver.buf_alloc = 10000;
  const Pair pair = connect_from_host();
  ::fcntl(pair.client.get(), F_SETFL, O_NONBLOCK);
  const std::string block(64U << 10, 'a');
  std::size_t written = 0;
  for (ssize_t count = 0; (count = ::write(pair.client.get(), block.data(), block.size())) > 0;) {
    written += static_cast<std::size_t>(count);
  }
  std::size_t received = 0;
  int credit_requests = 0;
  while (credit_requests == 0) {
    const Packet packet = driver.receive();
    received += packet.payload.size();
    if (packet.header.op == Op::credit_request) ++credit_requests;
  }
  EXPECT_EQ(received, 10000U);
  EXPECT_GT(written, received);
  for (const Packet& late : driver.settle()) ADD_FAILURE() << static_cast<int>(late.header.op);
  // 5000 more, and no second question before the first was answered.
  driver.fwd_cnt = 5000;
  send(pair.guest, Op::credit_update);
  while (received < 15000) received += driver.receive().payload.size();
  EXPECT_EQ(received, 15000U);
}

TEST_F(Stream, GivesCreditBackOnlyForWhatTheClientTook) {
  const Pair pair = connect_from_host();
  constexpr std::uint32_t kWindow = 256U << 10;
  const std::string block = random_bytes(16U << 10);
  // The client reads nothing: what its socket holds is taken, then the window is the limit.
  std::uint32_t sent = 0;
  std::uint32_t credit_until = kWindow;
  for (bool stuck = false; !stuck;) {
    while (credit_until - sent >= block.size()) {
      send(pair.guest, Op::rw, block);
      sent += static_cast<std::uint32_t>(block.size());
    }
    stuck = true;
    for (const Packet& packet : driver.settle()) {
      ASSERT_EQ(packet.header.op, Op::credit_update);
      credit_until = packet.header.fwd_cnt + packet.header.buf_alloc;
      stuck = false;
    }
    ASSERT_LT(sent, 16U << 20) << "credit for bytes that nobody took";
  }
  // Now it reads: every byte is there, and credit comes back.
  Digest expected;
  for (std::uint32_t i = 0; i < sent / block.size(); ++i) expected.add(block);
  Digest received;
  received.add(read_up_to(pair.client.get(), sent));
  EXPECT_EQ(received, expected);
  EXPECT_EQ(driver.receive().header.op, Op::credit_update);
}

TEST_F(Stream, PassesTheClientsHalfCloseOnAndTheGuestGoesOnSending) {
  const Pair pair = connect_from_host();
  write_all(pair.client.get(), "last words");
  ::shutdown(pair.client.get(), SHUT_WR);
  EXPECT_EQ(receive_bytes(pair.guest, 10), "last words");
  const Packet shutdown = driver.receive();
  EXPECT_EQ(shutdown.header.op, Op::shutdown);
  EXPECT_EQ(shutdown.header.flags, kShutdownSend);
  const std::string answer = random_bytes(60000);
  send(pair.guest, Op::rw, answer);
  EXPECT_EQ(read_up_to(pair.client.get(), answer.size()), answer);
  send(pair.guest, Op::shutdown, {}, kShutdownBoth);
  EXPECT_EQ(driver.receive().header.op, Op::rst);
  EXPECT_TRUE(at_end(pair.client.get()));
}

TEST_F(Stream, PassesTheGuestsHalfCloseOnAndTheClientGoesOnSending) {
  const Pair pair = connect_from_host();
  send(pair.guest, Op::rw, "last words");
  send(pair.guest, Op::shutdown, {}, kShutdownSend);
  EXPECT_EQ(read_up_to(pair.client.get(), 100), "last words");
  const std::string answer = random_bytes(60000);
  write_all(pair.client.get(), answer);
  EXPECT_EQ(receive_bytes(pair.guest, answer.size()), answer);
}

TEST_F(Stream, EndsWithTheClientOnceItsLastByteIsSent) {
  Pair pair = connect_from_host();
  driver.gives_buffers_back = false;
  const std::string bytes = random_bytes(200000);
  write_all(pair.client.get(), bytes.substr(0, 100000));
  write_all(pair.client.get(), bytes.substr(100000));
  pair.client.reset();
  driver.gives_buffers_back = true;
  EXPECT_EQ(receive_bytes(pair.guest, bytes.size()), bytes);
  const Packet shutdown = driver.receive();
  EXPECT_EQ(shutdown.header.op, Op::shutdown);
  EXPECT_EQ(shutdown.header.flags, kShutdownBoth);
  // What the guest had under way is dropped without a word; its RST is the end.
  send(pair.guest, Op::rw, "too late");
  EXPECT_TRUE(driver.settle().empty());
  send(pair.guest, Op::rst);
  EXPECT_TRUE(driver.settle().empty());
  send(pair.guest, Op::rw, "nobody");
  EXPECT_EQ(driver.receive().header.op, Op::rst);
}

// The guest closes (or resets, when it has waited long enough) with the client far behind.
TEST_F(Stream, DeliversTheLastByteWhateverWayTheGuestLeaves) {
  for (const Op leaving : {Op::shutdown, Op::rst}) {
    const Pair pair = connect_from_host();
    const std::string bytes = random_bytes(250000);
    for (std::size_t at = 0; at < bytes.size(); at += 50000) {
      send(pair.guest, Op::rw, std::string_view(bytes).substr(at, 50000));
    }
    send(pair.guest, Op::shutdown, {}, kShutdownBoth);
    if (leaving == Op::rst) send(pair.guest, Op::rst);
    EXPECT_EQ(read_up_to(pair.client.get(), bytes.size() + 1), bytes);
    if (leaving == Op::shutdown) {
      Packet packet = driver.receive();
      if (packet.header.op == Op::credit_update) packet = driver.receive();
      EXPECT_EQ(packet.header.op, Op::rst);
    }
  }
}

TEST_F(Stream, TellsTheGuestWhenTheClientReadsNoMore) {
  Pair pair = connect_from_host();
  ::shutdown(pair.client.get(), SHUT_RD);
  send(pair.guest, Op::rw, "unwanted");
  const Packet shutdown = driver.receive();
  EXPECT_EQ(shutdown.header.op, Op::shutdown);
  EXPECT_EQ(shutdown.header.flags, kShutdownReceive);
  write_all(pair.client.get(), "still talking");
  EXPECT_EQ(receive_bytes(pair.guest, 13), "still talking");
  pair.client.reset();
  const Packet end = driver.receive();
  EXPECT_EQ(end.header.op, Op::shutdown);
  EXPECT_EQ(end.header.flags, kShutdownBoth);
}

TEST_F(Stream, FailsTheClientsWritesWhenTheGuestReadsNoMore) {
  const Pair pair = connect_from_host();
  send(pair.guest, Op::shutdown, {}, kShutdownReceive);
  EXPECT_TRUE(driver.settle().empty());
  EXPECT_EQ(::send(pair.client.get(), "x", 1, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
  send(pair.guest, Op::rw, "still talking");
  EXPECT_EQ(read_up_to(pair.client.get(), 13), "still talking");
}

TEST_F(Stream, AnswersARequestForCredit) {
  const Pair pair = connect_from_host();
  send(pair.guest, Op::rw, "12345");
  send(pair.guest, Op::credit_request);
  const Packet update = driver.receive();
  EXPECT_EQ(update.header.op, Op::credit_update);
  EXPECT_EQ(update.header.fwd_cnt, 5U);
  EXPECT_EQ(update.header.buf_alloc, 256U << 10);
}

TEST_F(Stream, ServesFiveHundredAtOnceWithoutMixingThem) {
  std::vector<Pair> pairs;
  for (std::uint32_t i = 0; i < 500; ++i) pairs.push_back(connect_from_host(1000 + i));
  for (const Pair& pair : pairs) {
    write_all(pair.client.get(), "to " + std::to_string(pair.guest.guest_port));
  }
  std::vector<bool> seen(500);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const Packet packet = driver.receive();
    EXPECT_EQ(packet.payload, "to " + std::to_string(packet.header.dst_port));
    seen.at(packet.header.dst_port - 1000) = true;
    driver.send(Op::rw, packet.header.dst_port, packet.header.src_port,
                "from " + std::to_string(packet.header.dst_port));
  }
  EXPECT_EQ(std::ranges::count(seen, true), 500);
  for (const Pair& pair : pairs) {
    const std::string expected = "from " + std::to_string(pair.guest.guest_port);
    EXPECT_EQ(read_up_to(pair.client.get(), expected.size()), expected);
  }
}

TEST_F(Stream, LetsAnotherHaveItsTurnBesideABulkOfBytes) {
  const Pair bulk = connect_from_host(1);
  const Pair small = connect_from_host(2);
  driver.buf_alloc = 1U << 30;
  send(bulk.guest, Op::credit_update);
  std::atomic<bool> stop = false;
  std::jthread writer([&] {
    const std::string block(64U << 10, 'b');
    while (!stop && ::send(bulk.client.get(), block.data(), block.size(), MSG_NOSIGNAL) > 0) {
    }
  });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(driver.receive().header.dst_port, 1U);
  write_all(small.client.get(), "me too");
  // Queue and buffers hold 256 KiB, a turn is 64 KiB: a small multiple of both.
  bool served = false;
  for (int i = 0; i < 1000 && !served; ++i) served = driver.receive().header.dst_port == 2;
  EXPECT_TRUE(served);
  stop = true;
  driver.send(Op::rst, 1, bulk.guest.host_port);
}

TEST_F(Stream, WorksWithoutEventIndex) {
  BackendProcess other;
  FrontEnd other_qemu(other.take_vhost_user());
  GuestDriver plain(other_qemu, false);
  other_qemu.negotiate(false);
  other_qemu.share_memory();
  plain.start();
  const UniqueFd client = other.connect_client(5);
  const Packet request = plain.receive();
  plain.send(Op::response, 5, request.header.src_port);
  EXPECT_TRUE(read_line(client.get()).starts_with("OK "));
  for (int i = 0; i < 1000; ++i) {
    plain.send(Op::rw, 5, request.header.src_port, "question");
    EXPECT_EQ(read_up_to(client.get(), 8), "question");
    write_all(client.get(), "answer");
    EXPECT_EQ(plain.receive().payload, "answer");
  }
}

}  // namespace agentvm::vmm::vsock::testing
