// Who can connect to whom, and what happens when nobody is there.
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "tests/vmm/vsock/vsock_fixture.h"

namespace agentvm::vmm::vsock::testing {

using HostConnects = VsockTest;
using GuestConnects = VsockTest;

TEST_F(HostConnects, AndReadsOkWithItsPortOnceTheGuestAccepts) {
  boot();
  const UniqueFd client = backend.connect_client(1024);
  const Packet request = driver.receive();
  EXPECT_EQ(request.header.op, Op::request);
  EXPECT_EQ(request.header.type, kTypeStream);
  EXPECT_EQ(request.header.dst_port, 1024U);
  EXPECT_EQ(request.header.buf_alloc, 256U << 10);
  EXPECT_EQ(request.header.len, 0U);
  driver.send(Op::response, 1024, request.header.src_port);
  EXPECT_EQ(read_line(client.get()), "OK " + std::to_string(request.header.src_port) + "\n");
}

TEST_F(HostConnects, AndIsClosedWithoutOkWhenTheGuestRefuses) {
  boot();
  const UniqueFd client = backend.connect_client(1024);
  const Packet request = driver.receive();
  driver.send(Op::rst, 1024, request.header.src_port);
  EXPECT_TRUE(at_end(client.get()));
  EXPECT_TRUE(driver.settle().empty());
}

TEST_F(HostConnects, BeforeTheGuestsDriverIsUpAndWaitsForIt) {
  const UniqueFd first = backend.connect_client(1);
  const UniqueFd second = backend.connect_client(2);
  const UniqueFd leaving = backend.connect_client(3);
  boot();
  std::vector<std::uint32_t> ports;
  for (int i = 0; i < 3; ++i) {
    const Packet request = driver.receive();
    ports.push_back(request.header.dst_port);
    driver.send(Op::response, request.header.dst_port, request.header.src_port);
  }
  EXPECT_EQ(ports, (std::vector<std::uint32_t>{1, 2, 3}));
  EXPECT_TRUE(read_line(first.get()).starts_with("OK "));
  EXPECT_TRUE(read_line(second.get()).starts_with("OK "));
}

TEST_F(HostConnects, AndLeavesWithoutTheGuestEverHearingOfIt) {
  qemu.negotiate();  // its answers say that the device is up
  const std::size_t before = backend.open_files();
  UniqueFd leaving = backend.connect_client(3);
  ASSERT_TRUE(backend.await_open_files(before + 1));
  const UniqueFd staying = backend.connect_client(4);
  ASSERT_TRUE(backend.await_open_files(before + 2));
  leaving.reset();
  ASSERT_TRUE(backend.await_open_files(before + 1)) << "the hang-up was not seen";
  boot();
  const Packet request = driver.receive();
  EXPECT_EQ(request.header.dst_port, 4U);
}

TEST_F(HostConnects, InNumbersPastTheBoundAndAllAreServedInTheEnd) {
  constexpr std::size_t kClients = 300;
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < kClients; ++i) clients.push_back(backend.connect_client(9));
  boot();
  for (std::size_t i = 0; i < kClients; ++i) {
    const Packet request = driver.receive();
    ASSERT_EQ(request.header.op, Op::request);
    driver.send(Op::response, 9, request.header.src_port);
  }
  for (const UniqueFd& client : clients) {
    EXPECT_TRUE(read_line(client.get()).starts_with("OK "));
  }
}

TEST_F(HostConnects, AndWhatItSentBehindTheLineReachesTheGuest) {
  boot();
  const UniqueFd client = backend.connect_client();
  write_all(client.get(), "CONNECT 5\nearly bytes");
  const Packet request = driver.receive();
  const GuestEnd end{.guest_port = 5, .host_port = request.header.src_port};
  send(end, Op::response);
  EXPECT_EQ(receive_bytes(end, 11), "early bytes");
}

TEST_F(HostConnects, AndItsLineMayComeInPieces) {
  boot();
  const UniqueFd client = backend.connect_client();
  for (const char* const piece : {"CONN", "ECT 10", "24", "\n"}) {
    write_all(client.get(), piece);
    EXPECT_TRUE(driver.settle().empty() || std::string(piece) == "\n");
  }
}

TEST_F(HostConnects, AndIsClosedWhenItsLineIsNoRequest) {
  for (const char* const line :
       {"GET / HTTP/1.1\n", "CONNECT \n", "CONNECT -1\n", "CONNECT 4294967295\n", "CONNECT 1 \n",
        "connect 1\n", "CONNECT 0000000000000000000000000000001\n"}) {
    const UniqueFd client = backend.connect_client();
    write_all(client.get(), line);
    EXPECT_TRUE(at_end(client.get())) << line;
  }
}

TEST_F(HostConnects, AndTheOldestThatSaysNothingMakesRoomForOthers) {
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 65; ++i) silent.push_back(backend.connect_client());
  EXPECT_TRUE(at_end(silent.front().get()));
  boot();
  expect_service();
}

TEST_F(HostConnects, AndGoesAwayAgainBeforeTheAnswer) {
  boot();
  UniqueFd client = backend.connect_client(5);
  const Packet request = driver.receive();
  client.reset();
  const Packet rst = driver.receive();
  EXPECT_EQ(rst.header.op, Op::rst);
  EXPECT_EQ(rst.header.src_port, request.header.src_port);
  // The answer that was under way finds nobody.
  driver.send(Op::response, 5, request.header.src_port);
  const Packet again = driver.receive();
  EXPECT_EQ(again.header.op, Op::rst);
}

TEST_F(GuestConnects, ToTheServiceSocketOfThePort) {
  const UniqueFd service = backend.listen_as_service(77);
  boot();
  driver.send(Op::request, 1000, 77);
  const Packet response = driver.receive();
  EXPECT_EQ(response.header.op, Op::response);
  EXPECT_EQ(response.header.src_port, 77U);
  EXPECT_EQ(response.header.dst_port, 1000U);
  const UniqueFd accepted(::accept(service.get(), nullptr, nullptr));
  const GuestEnd end{.guest_port = 1000, .host_port = 77};
  send(end, Op::rw, "ping");
  EXPECT_EQ(read_up_to(accepted.get(), 4), "ping");
  write_all(accepted.get(), "pong");
  EXPECT_EQ(receive_bytes(end, 4), "pong");
}

TEST_F(GuestConnects, AndIsResetWhereNoServiceListens) {
  boot();
  driver.send(Op::request, 1000, 78);
  const Packet rst = driver.receive();
  EXPECT_EQ(rst.header.op, Op::rst);
  EXPECT_EQ(rst.header.src_port, 78U);
  EXPECT_EQ(rst.header.dst_port, 1000U);
}

TEST_F(GuestConnects, AndIsResetPastTheLargestNumberOfConnections) {
  const UniqueFd service = backend.listen_as_service(77);
  boot();
  std::vector<UniqueFd> accepted;
  for (std::uint32_t port = 1; port <= 1024; ++port) {
    driver.send(Op::request, port, 77);
    const Packet response = driver.receive();
    ASSERT_EQ(response.header.op, Op::response) << port;
    // Past the first, windows shrink: together they stay bounded.
    EXPECT_EQ(response.header.buf_alloc, port <= 128 ? 256U << 10 : 16U << 10) << port;
    accepted.emplace_back(::accept(service.get(), nullptr, nullptr));
  }
  driver.send(Op::request, 5000, 77);
  EXPECT_EQ(driver.receive().header.op, Op::rst);
  // One that only waits for the guest's word gives way.
  accepted.front().reset();
  const Packet shutdown = driver.receive();
  EXPECT_EQ(shutdown.header.op, Op::shutdown);
  driver.send(Op::request, 5001, 77);
  const Packet evicted = driver.receive();
  EXPECT_EQ(evicted.header.op, Op::rst);
  EXPECT_EQ(evicted.header.dst_port, 1U);
  const Packet response = driver.receive();
  EXPECT_EQ(response.header.op, Op::response);
  EXPECT_EQ(response.header.dst_port, 5001U);
}

}  // namespace agentvm::vmm::vsock::testing
