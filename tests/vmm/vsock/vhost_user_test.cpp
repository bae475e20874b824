// What QEMU may ask, and what becomes of a QEMU that asks nonsense, pauses or dies.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <filesystem>
#include <vector>

#include "tests/vmm/vsock/vsock_fixture.h"

namespace agentvm::vmm::vsock::testing {

using Qemu = VsockTest;

namespace {

std::vector<std::byte> words(std::initializer_list<std::uint32_t> values) {
  std::vector<std::byte> bytes;
  for (const std::uint32_t value : values) {
    const auto* const at = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), at, at + sizeof(value));
  }
  return bytes;
}

constexpr MemoryRegion kGoodRegion{
    .guest_address = 0, .size = 0x1000, .user_address = 0x10000, .file_offset = 0};

}  // namespace

TEST_F(Qemu, ReadsTheGuestsCidFromTheConfiguration) {
  qemu.negotiate();
  qemu.send(Request::get_config, words({0, 8, 0, 0, 0}));
  const auto reply = qemu.receive_reply(Request::get_config);
  ASSERT_TRUE(reply);
  EXPECT_EQ(*reply, words({0, 8, 0, 3, 0}));
}

TEST_F(Qemu, ReadsZerosPastTheConfiguration) {
  qemu.negotiate();
  qemu.send(Request::get_config, words({4, 8, 0, 0, 0}));
  const auto reply = qemu.receive_reply(Request::get_config);
  ASSERT_TRUE(reply);
  EXPECT_EQ(*reply, words({4, 8, 0, 0, 0}));
}

TEST_F(Qemu, EndsTheDeviceInPeaceByClosing) {
  boot();
  const Pair pair = connect_from_host();
  qemu.hang_up();
  EXPECT_EQ(backend.wait_exit(), 0);
  EXPECT_EQ(backend.errors(), "");
  EXPECT_TRUE(at_end(pair.client.get()));
}

TEST_F(Qemu, EndsTheDeviceInPeaceByDyingBeforeItSaidAnything) {
  qemu.hang_up();
  EXPECT_EQ(backend.wait_exit(), 0);
}

TEST(QemuThatConnects, IsServedLikeOneThatIsGiven) {
  BackendProcess backend(BackendProcess::QemuEnd::listening);
  FrontEnd qemu(backend.take_vhost_user());
  qemu.negotiate();
  qemu.share_memory();
  qemu.hang_up();
  EXPECT_EQ(backend.wait_exit(), 0);
}

TEST_F(Qemu, IsRefusedMemoryThatCannotBe) {
  qemu.negotiate();
  const auto refused = [this](const std::vector<MemoryRegion>& regions, const std::string& why) {
    EXPECT_EQ(qemu.set_memory(regions), 1U);
    EXPECT_NE(backend.errors().find("vhost-user: SET_MEM_TABLE: " + why), std::string::npos)
        << backend.errors();
  };
  MemoryRegion region = kGoodRegion;
  region.size = 0;
  refused({region}, "memory region 0 is empty");
  region = kGoodRegion;
  region.guest_address = ~0ULL - 10;
  refused({region}, "memory region 0 wraps around guest addresses");
  region = kGoodRegion;
  region.user_address = ~0ULL - 10;
  refused({region}, "memory region 0 wraps around user addresses");
  region = kGoodRegion;
  region.file_offset = ~0ULL - 10;
  refused({region}, "memory region 0 wraps around its file");
  region = kGoodRegion;
  region.size = kMemorySize + 1;
  refused({region}, "memory region 0 is longer than its file");
  refused({kGoodRegion, kGoodRegion}, "two memory regions overlap");
  // And after all that, memory that is right.
  EXPECT_EQ(qemu.set_memory({kGoodRegion}), 0U);
}

TEST_F(Qemu, IsRefusedMemoryWithoutItsFiles) {
  qemu.negotiate();
  auto table = words({1, 0});
  table.resize(table.size() + 32);
  EXPECT_EQ(qemu.acknowledged(Request::set_mem_table, table), 1U);
  EXPECT_EQ(qemu.acknowledged(Request::set_mem_table, words({9, 0})), 1U);
  EXPECT_EQ(qemu.acknowledged(Request::set_mem_table, words({8, 0})), 1U);
  EXPECT_EQ(qemu.acknowledged(Request::set_mem_table, words({0})), 1U);
}

TEST_F(Qemu, IsRefusedRingsThatCannotBe) {
  qemu.negotiate();
  qemu.share_memory();
  EXPECT_EQ(qemu.acknowledged(Request::set_vring_num, words({3, 128})), 1U);
  EXPECT_EQ(qemu.acknowledged(Request::set_vring_num, words({0, 0})), 1U);
  EXPECT_EQ(qemu.acknowledged(Request::set_vring_num, words({0, 100})), 1U);
  EXPECT_EQ(qemu.acknowledged(Request::set_vring_num, words({0, 2048})), 1U);
  EXPECT_EQ(qemu.acknowledged(Request::set_vring_base, words({0, 0x10000})), 1U);
  EXPECT_EQ(qemu.acknowledged(Request::set_vring_enable, words({0, 2})), 1U);
  const UniqueFd kick(::eventfd(0, EFD_CLOEXEC));
  const auto start = [&](std::uint64_t descriptors, std::uint64_t used, std::uint64_t available) {
    EXPECT_EQ(qemu.acknowledged(Request::set_vring_num, words({0, 128})), 0U);
    const auto low = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
    const auto high = [](std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); };
    EXPECT_EQ(qemu.acknowledged(Request::set_vring_addr,
                                words({0, 0, low(descriptors), high(descriptors), low(used),
                                       high(used), low(available), high(available), 0, 0})),
              0U);
    return qemu.acknowledged(Request::set_vring_kick, words({0, 0}), std::array{kick.get()});
  };
  constexpr std::uint64_t kEnd = kUserBase + kMemorySize;
  EXPECT_EQ(start(0, kUserBase, kUserBase), 1U);
  EXPECT_EQ(start(kEnd - 16, kUserBase, kUserBase), 1U);
  EXPECT_EQ(start(kUserBase, kEnd - 1024, kUserBase), 1U);
  EXPECT_EQ(start(kUserBase, kUserBase, kEnd - 256), 1U);
  EXPECT_EQ(start(kUserBase + 8, kUserBase, kUserBase), 1U);
  EXPECT_EQ(start(kUserBase, kUserBase + 2, kUserBase), 1U);
  EXPECT_EQ(start(kUserBase, kUserBase, kUserBase + 1), 1U);
  EXPECT_NE(backend.errors().find(
                "SET_VRING_KICK: start ring 0: a part of the ring is outside the memory or not "
                "aligned"),
            std::string::npos);
  // A ring across two regions has no one place.
  EXPECT_EQ(start(kUserBase + kRegionSize - 16, kUserBase, kUserBase), 1U);
  EXPECT_EQ(start(kUserBase, kUserBase + 4096, kUserBase + 8192), 0U);
  EXPECT_EQ(qemu.acknowledged(Request::set_vring_num, words({0, 64})), 1U);
}

TEST_F(Qemu, IsRefusedFeaturesThatWereNotOffered) {
  EXPECT_EQ(qemu.acknowledged(Request::set_features, encode_u64(1ULL << 28)), 1U);
  EXPECT_EQ(qemu.acknowledged(Request::set_protocol_features, encode_u64(1ULL << 15)), 1U);
  EXPECT_EQ(qemu.acknowledged(Request::set_features, words({1})), 1U);
}

TEST_F(Qemu, EndsTheDeviceWithAMessageThatWasNotOffered) {
  qemu.send_raw(words({20, 1, 8, 0, 0}));
  EXPECT_EQ(backend.wait_exit(), 1);
  EXPECT_NE(
      backend.errors().find("vsock device: vhost-user message 20 is unknown or was not offered"),
      std::string::npos);
}

TEST_F(Qemu, EndsTheDeviceWithAMessageThatIsTooLong) {
  qemu.send_raw(words({5, 1, 1U << 20}));
  EXPECT_EQ(backend.wait_exit(), 1);
  EXPECT_NE(backend.errors().find("vhost-user message 5: 1048576 bytes of payload"),
            std::string::npos);
}

TEST_F(Qemu, EndsTheDeviceWithAnotherVersion) {
  qemu.send_raw(words({1, 2, 0}));
  EXPECT_EQ(backend.wait_exit(), 1);
}

TEST_F(Qemu, EndsTheDeviceWithMoreFilesThanFit) {
  const std::vector<int> many(50, qemu.memory_fd());
  qemu.send_raw(words({5, 1, 0}), many);
  EXPECT_EQ(backend.wait_exit(), 1);
  EXPECT_NE(backend.errors().find("a vhost-user message with too many files"), std::string::npos);
}

TEST_F(Qemu, MaySendItsMessagesByteByByte) {
  const auto message = words({1, 1, 0});
  for (const std::byte byte : message) qemu.send_raw({&byte, 1});
  EXPECT_TRUE(qemu.receive_reply(Request::get_features));
}

TEST_F(Qemu, PausesTheVmAndConnectionsLiveOn) {
  boot();
  const Pair pair = connect_from_host();
  send(pair.guest, Op::rw, "before");
  EXPECT_EQ(read_up_to(pair.client.get(), 6), "before");
  const std::uint16_t rx = qemu.stop_ring(kRxQueue);
  const std::uint16_t tx = qemu.stop_ring(kTxQueue);
  EXPECT_EQ(tx, 2U);
  write_all(pair.client.get(), "meanwhile");
  driver.rx.start(rx);
  driver.tx.start(tx);
  EXPECT_EQ(receive_bytes(pair.guest, 9), "meanwhile");
  send(pair.guest, Op::rw, "after");
  EXPECT_EQ(read_up_to(pair.client.get(), 5), "after");
}

TEST_F(Qemu, RestartsTheGuestAndItsConnectionsEnd) {
  boot();
  const Pair pair = connect_from_host();
  (void)qemu.stop_ring(kRxQueue);
  (void)qemu.stop_ring(kTxQueue);
  const UniqueFd waiting = backend.connect_client(8);
  driver.start();
  EXPECT_TRUE(at_end(pair.client.get()));
  const Packet request = driver.receive();
  EXPECT_EQ(request.header.dst_port, 8U);
}

TEST_F(Qemu, MovesTheMemoryUnderRunningRings) {
  boot();
  const Pair pair = connect_from_host();
  for (int i = 0; i < 10; ++i) {
    qemu.share_memory();
    send(pair.guest, Op::rw, "x");
    EXPECT_EQ(read_up_to(pair.client.get(), 1), "x");
  }
}

// As when the VM grows. The second half of the driver's buffers lies in what comes.
TEST_F(Qemu, GivesTheGuestMoreMemoryUnderRunningRings) {
  qemu.negotiate();
  ASSERT_EQ(qemu.set_memory({{.guest_address = kGuestBase,
                              .size = kRegionSize,
                              .user_address = kUserBase,
                              .file_offset = 0}}),
            0U);
  driver.start();
  const Pair pair = connect_from_host();
  send(pair.guest, Op::rw, "before");
  EXPECT_EQ(read_up_to(pair.client.get(), 6), "before");
  qemu.share_memory();
  for (std::uint16_t i = 0; i < kSlots; ++i) {
    send(pair.guest, Op::rw, "x");
    EXPECT_EQ(read_up_to(pair.client.get(), 1), "x");
  }
  EXPECT_EQ(backend.errors(), "");
}

TEST_F(Qemu, TakesTheMemoryAwayAndTheRingsStop) {
  boot();
  EXPECT_EQ(qemu.set_memory({kGoodRegion}), 1U);
  qemu.kick(kTxQueue);
  qemu.kick(kRxQueue);
  qemu.negotiate();
  qemu.share_memory();
  driver.start();
  expect_service();
}

TEST_F(Qemu, DisablesARingAndNothingMovesUntilItIsEnabled) {
  boot();
  const Pair pair = connect_from_host();
  qemu.enable_ring(kTxQueue, false);
  send(pair.guest, Op::rw, "held");
  qemu.kick(kTxQueue);
  qemu.enable_ring(kRxQueue, true);
  EXPECT_EQ(::recv(pair.client.get(), nullptr, 0, MSG_DONTWAIT | MSG_PEEK), -1);
  qemu.enable_ring(kTxQueue, true);
  EXPECT_EQ(read_up_to(pair.client.get(), 4), "held");
}

TEST_F(Qemu, HandsOverAFileThatIsNoEventfdAndTheDeviceEnds) {
  boot();
  (void)qemu.stop_ring(kTxQueue);
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  qemu.send(Request::set_vring_kick, words({1, 0}), std::array{file.get()});
  EXPECT_EQ(backend.wait_exit(), 1);
}

TEST_F(Qemu, RunsWithADeviceThatHasGivenUpEverything) {
  boot();
  expect_service();
#ifndef AGENTVM_SANITIZED
  EXPECT_LT(std::stoul(backend.status("RssAnon")), 2048U);  // kB
#endif
  EXPECT_EQ(backend.status("Seccomp"), "2");
  EXPECT_EQ(backend.status("NoNewPrivs"), "1");
  EXPECT_EQ(backend.status("Threads"), "1");
}

}  // namespace agentvm::vmm::vsock::testing
