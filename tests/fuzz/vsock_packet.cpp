// Packet headers into the connection's state machine, mixed with what a client does: credit is
// never exceeded by either side, whatever the guest says.
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "vmm/vsock/connection.h"

using namespace agentvm::vmm::vsock;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::uint32_t kWindow = 64U << 10;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

struct Model {
  Connection connection;
  std::uint64_t held = 0;      // taken from the guest, not consumed
  std::uint64_t in_guest = 0;  // an upper bound of what the guest has not forwarded
  bool ended = false;

  void packet(const PacketHeader& header, std::uint64_t payload) {
    switch (connection.receive(header, payload)) {
      case Reaction::data:
      case Reaction::discard:
        require(header.op == Op::rw && header.len <= payload);
        held += header.len;
        require(held <= kWindow);
        return;
      case Reaction::closed:
      case Reaction::violation:
        ended = true;
        require(connection.reset_header().op == Op::rst);
        return;
      case Reaction::none:
      case Reaction::established:
        return;
      case Reaction::shutdown:
        require(connection.guest_shutdown() != 0);
        return;
    }
  }

  void client(std::uint8_t action, std::uint32_t amount) {
    switch (action % 6) {
      case 0: {
        const std::uint32_t count = held == 0 ? 0 : amount % static_cast<std::uint32_t>(held + 1);
        connection.consumed(count);
        held -= count;
        return;
      }
      case 1: {
        const std::uint32_t credit = connection.send_credit();
        if (credit == 0 || connection.is_lingering()) return;
        const std::uint32_t count = 1 + amount % credit;
        require(connection.data_header(count).len == count);
        return;
      }
      case 2:
        return connection.client_finished();
      case 3:
        return connection.client_stopped_reading();
      case 4:
        if (connection.is_open()) connection.client_gone();
        return;
      case 5:
        for (int i = 0; connection.next_control(); ++i) require(i < 5);
        require(!connection.has_control());
        return;
    }
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span<const std::uint8_t> input(data, size);
  if (input.empty()) return 0;
  PacketHeader request;
  request.op = Op::request;
  request.src_cid = 3;
  Model model{(input[0] & 1) != 0 ? Connection::make_incoming(request, kWindow)
                                  : Connection::make_outgoing({1, 2}, 3, kWindow)};
  input = input.subspan(1);
  while (!input.empty() && !model.ended) {
    const std::uint8_t what = input[0];
    input = input.subspan(1);
    if ((what & 0x80) != 0) {
      model.client(what & 0x7f, what * 1021U);
      continue;
    }
    if (input.size() < kHeaderSize) break;
    HeaderBytes bytes{};
    std::memcpy(bytes.data(), input.data(), bytes.size());
    input = input.subspan(kHeaderSize);
    const PacketHeader header = decode_header(bytes);
    if (header.op != Op::invalid) require(encode_header(header) == bytes);
    model.packet(header, std::uint64_t{what} * 600);
  }
  return 0;
}
