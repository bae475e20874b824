// Rings no driver would write: the device stops with one line, QEMU is told, clients are closed; a
// driver that sets the rings up anew finds it in service.
#include <functional>

#include "tests/vmm/vsock/vsock_fixture.h"

namespace agentvm::vmm::vsock::testing {

class HostileRing : public VsockTest {
 protected:
  void SetUp() override { boot(); }

  void expect_stop(DriverRing& ring, const std::string& reason) {
    qemu.kick(ring.index());
    EXPECT_TRUE(qemu.take_error(ring.index()));
    const std::string name = ring.index() == kTxQueue ? "transmit" : "receive";
    EXPECT_NE(backend.errors().find("the guest broke the " + name + " ring: " + reason +
                                    "; the device is stopped"),
              std::string::npos)
        << backend.errors();
  }

  // One descriptor in the transmit ring.
  void expect_stop_for(const Descriptor& descriptor, const std::string& reason) {
    const Pair victim = connect_from_host(3);
    const std::uint16_t free = kQueueSize - 2;  // the driver's slots are used in order
    driver.tx.set_descriptor(free, descriptor);
    driver.tx.make_available(free);
    expect_stop(driver.tx, reason);
    EXPECT_TRUE(at_end(victim.client.get()));
    restart();
    expect_service();
  }

  void restart() {
    driver.fwd_cnt = 0;
    driver.start();
  }

  static constexpr std::uint64_t kBuffer = kGuestBase + (5U << 20);
};

TEST_F(HostileRing, WithAnAvailableIndexFarAheadStopsTheDevice) {
  driver.tx.set_available_index(kQueueSize + 1);
  expect_stop(driver.tx, "the available index runs ahead by more than the queue's size");
  restart();
  expect_service();
}

TEST_F(HostileRing, WithAHeadOutsideTheTableStopsTheDevice) {
  driver.tx.make_available(kQueueSize);
  expect_stop(driver.tx, "a descriptor index is outside the table");
}

TEST_F(HostileRing, WithANextOutsideTheTableStopsTheDevice) {
  expect_stop_for({.address = kBuffer, .length = 44, .flags = kDescNext, .next = 0xffff},
                  "a descriptor index is outside the table");
}

TEST_F(HostileRing, WithALoopStopsTheDevice) {
  expect_stop_for({.address = kBuffer, .length = 44, .flags = kDescNext, .next = kQueueSize - 2},
                  "a descriptor chain is a loop");
}

TEST_F(HostileRing, WithALoopOfEmptyBuffersStopsTheDevice) {
  expect_stop_for({.address = kBuffer, .length = 0, .flags = kDescNext, .next = kQueueSize - 2},
                  "a descriptor chain is a loop");
}

TEST_F(HostileRing, WithAnIndirectTableStopsTheDevice) {
  expect_stop_for({.address = kBuffer, .length = 64, .flags = kDescIndirect},
                  "an indirect descriptor, which was not negotiated");
}

TEST_F(HostileRing, WithABufferOutsideMemoryStopsTheDevice) {
  constexpr std::uint64_t kEnd = kGuestBase + kMemorySize;
  for (const Descriptor& descriptor :
       {Descriptor{.address = 0, .length = 44}, Descriptor{.address = kEnd, .length = 44},
        Descriptor{.address = kEnd - 43, .length = 44},
        Descriptor{.address = kGuestBase - 1, .length = 44},
        Descriptor{.address = ~0ULL, .length = 44}, Descriptor{.address = ~0ULL - 43, .length = 44},
        Descriptor{.address = kBuffer, .length = 0xffffffff}}) {
    expect_stop_for(descriptor, "a buffer is outside the guest's memory or in too many pieces");
  }
}

TEST_F(HostileRing, WithAHeaderCutShortStopsTheDevice) {
  expect_stop_for({.address = kBuffer, .length = 43},
                  "a transmit buffer is shorter than a packet header");
  expect_stop_for({.address = kBuffer, .length = 0},
                  "a transmit buffer is shorter than a packet header");
}

TEST_F(HostileRing, WithAWriteOnlyTransmitBufferStopsTheDevice) {
  expect_stop_for({.address = kBuffer, .length = 44, .flags = kDescWrite},
                  "a transmit buffer is write-only");
}

TEST_F(HostileRing, WithAReadOnlyReceiveBufferStopsTheDevice) {
  driver.start_without_buffers();
  driver.rx.set_descriptor(0, {.address = kBuffer, .length = 8192});
  driver.rx.make_available(0);
  driver.send(Op::rw, 1, 1);
  expect_stop(driver.rx, "a receive buffer is read-only");
  restart();
  expect_service();
}

TEST_F(HostileRing, WithAReceiveBufferForNoPayloadStopsTheDevice) {
  for (const std::uint32_t length : {0U, 43U, 44U}) {
    driver.start_without_buffers();
    driver.rx.set_descriptor(0, {.address = kBuffer, .length = length, .flags = kDescWrite});
    driver.rx.make_available(0);
    driver.send(Op::rw, 1, 1);
    expect_stop(driver.rx, "a receive buffer has no room for a packet");
  }
}

TEST_F(HostileRing, MayHaveItsBuffersOverItself) {
  // The header is read from the ring's own descriptors, the device writes over the used ring: the
  // guest's own misfortune, and no one else's.
  driver.tx.set_descriptor(kQueueSize - 2, {.address = kGuestBase, .length = 4096});
  driver.tx.make_available(kQueueSize - 2);
  driver.rx.set_descriptor(0, {.address = kGuestBase, .length = 64U << 10, .flags = kDescWrite});
  driver.send(Op::rw, 1, 1);
  restart();
  expect_service();
}

TEST_F(HostileRing, MayBeCutIntoBytes) {
  const Pair pair = connect_from_host(3);
  // A header and three bytes of payload, one byte a descriptor, with empty ones between.
  const HeaderBytes header = encode_header({.src_cid = kGuestCid,
                                            .dst_cid = kHostCid,
                                            .src_port = 3,
                                            .dst_port = pair.guest.host_port,
                                            .len = 3,
                                            .op = Op::rw,
                                            .buf_alloc = driver.buf_alloc});
  std::memcpy(qemu.at(kBuffer), header.data(), header.size());
  std::memcpy(qemu.at(kBuffer + kHeaderSize), "abc", 3);
  constexpr std::uint16_t kPieces = 2 * (kHeaderSize + 3);
  const auto first = static_cast<std::uint16_t>(kQueueSize - kPieces);
  for (std::uint16_t i = 0; i < kPieces; ++i) {
    const auto next = static_cast<std::uint16_t>(first + i + 1);
    driver.tx.set_descriptor(static_cast<std::uint16_t>(first + i),
                             {.address = kBuffer + i / 2U,
                              .length = i % 2U == 0 ? 1U : 0U,
                              .flags = static_cast<std::uint16_t>(i + 1 < kPieces ? kDescNext : 0),
                              .next = next});
  }
  driver.tx.make_available(first);
  qemu.kick(kTxQueue);
  EXPECT_EQ(read_up_to(pair.client.get(), 3), "abc");
}

TEST_F(HostileRing, DoesNotGetToFillTheLog) {
  for (int i = 0; i < 20; ++i) {
    driver.tx.set_available_index(kQueueSize + 1);
    qemu.kick(kTxQueue);
    EXPECT_TRUE(qemu.take_error(kTxQueue));
    restart();
  }
  const std::string errors = backend.errors();
  EXPECT_EQ(std::ranges::count(errors, '\n'), 8);
  expect_service();
}

}  // namespace agentvm::vmm::vsock::testing
