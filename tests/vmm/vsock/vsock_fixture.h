// The device with a guest behind it: the binary, QEMU's part, the driver's part.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "tests/vmm/vsock/backend_process.h"
#include "tests/vmm/vsock/front_end.h"
#include "tests/vmm/vsock/guest_driver.h"

namespace agentvm::vmm::vsock::testing {

// A connection seen from the guest.
struct GuestEnd {
  std::uint32_t guest_port = 0;
  std::uint32_t host_port = 0;
};

struct Pair {
  UniqueFd client;
  GuestEnd guest;
};

class VsockTest : public ::testing::Test {
 protected:
  BackendProcess backend;
  FrontEnd qemu{backend.take_vhost_user()};
  GuestDriver driver{qemu};

  void boot() {
    qemu.negotiate();
    qemu.share_memory();
    driver.start();
  }

  // A client connects to `port` of the guest, which accepts.
  Pair connect_from_host(std::uint32_t port = 1024) {
    UniqueFd client = backend.connect_client(port);
    const Packet request = driver.receive();
    EXPECT_EQ(request.header.op, Op::request);
    EXPECT_EQ(request.header.dst_port, port);
    driver.send(Op::response, port, request.header.src_port);
    EXPECT_EQ(read_line(client.get()), "OK " + std::to_string(request.header.src_port) + "\n");
    return {std::move(client), {.guest_port = port, .host_port = request.header.src_port}};
  }

  void send(const GuestEnd& end, Op op, std::string_view payload = {}, std::uint32_t flags = 0) {
    driver.send(op, end.guest_port, end.host_port, payload, flags);
  }

  // Exactly `count` bytes of payload for `end`; packets that only carry credit are passed over.
  std::string receive_bytes(const GuestEnd& end, std::size_t count) {
    std::string bytes;
    while (bytes.size() < count) {
      const Packet packet = driver.receive();
      if (packet.header.op == Op::credit_update || packet.header.op == Op::credit_request) continue;
      EXPECT_EQ(packet.header.op, Op::rw);
      EXPECT_EQ(packet.header.dst_port, end.guest_port);
      if (packet.header.op != Op::rw) break;
      bytes += packet.payload;
      driver.fwd_cnt += packet.header.len;
    }
    return bytes;
  }

  // The client leaves, the guest hears of it and lets go.
  void finish(Pair& pair) {
    pair.client.reset();
    EXPECT_EQ(driver.receive().header.op, Op::shutdown);
    send(pair.guest, Op::rst);
  }

  // Still in service: a connection can be made and carries a byte.
  void expect_service() {
    Pair pair = connect_from_host(7);
    send(pair.guest, Op::rw, "x");
    EXPECT_EQ(read_up_to(pair.client.get(), 1), "x");
    finish(pair);
  }
};

}  // namespace agentvm::vmm::vsock::testing
