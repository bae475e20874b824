// A guest that does anything to its memory and rings while clients come and go: the whole data path
// with real sockets, on an event loop that is turned by hand.
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "vmm/vsock/muxer.h"

using namespace agentvm;              // NOLINT(google-build-using-namespace)
using namespace agentvm::vmm::vsock;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::uint16_t kSize = 16;
constexpr std::uint64_t kBytes = 64U << 10;
// The rings lie at the start of memory, where the input writes most.
constexpr std::size_t kRx = 0;
constexpr std::size_t kTx = 512;

const GuestMemory& memory() {
  static const GuestMemory mapped = [] {
    std::vector<UniqueFd> file;
    file.emplace_back(::memfd_create("guest", MFD_CLOEXEC));
    if (::ftruncate(file[0].get(), kBytes) != 0) __builtin_trap();
    auto result =
        GuestMemory::map(std::array{MemoryRegion{.guest_address = 0, .size = kBytes}}, file);
    if (!result) __builtin_trap();
    return *std::move(result);
  }();
  return mapped;
}

// The service of port 1, in a working directory of its own.
int service() {
  static const int listener = [] {
    std::string directory = "/tmp/fuzz-vsock-XXXXXX";
    if (::mkdtemp(directory.data()) == nullptr || ::chdir(directory.c_str()) != 0) {
      __builtin_trap();
    }
    const int made = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "vsock.sock_1"};
    if (::bind(made, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      __builtin_trap();
    }
    if (::listen(made, 64) != 0) __builtin_trap();
    // Nothing is left in /tmp: the socket stays reachable as long as the directory is open.
    std::atexit([] {
      (void)::unlink("vsock.sock_1");
      std::array<char, 4096> path{};
      if (::getcwd(path.data(), path.size()) != nullptr) (void)::rmdir(path.data());
    });
    return made;
  }();
  return listener;
}

class World final : MuxerOwner {
 public:
  World() {
    std::memset(base_, 0, kBytes);
    start();
  }

  void step(std::span<const std::uint8_t>& input) {
    const std::uint8_t what = input[0];
    input = input.subspan(1);
    switch (what % 8) {
      case 0:
      case 1:
        return write_memory(input);
      case 2:
        muxer_.schedule();
        return turn();
      case 3:
        return connect(what);
      case 4:
        return client_writes(what, input);
      case 5:
        if (!clients_.empty()) clients_.erase(clients_.begin() + what / 8 % clients_.size());
        return;
      case 6:
        for (const UniqueFd& client : clients_) drain(client.get());
        return;
      case 7:
        return restart(what);
    }
  }

  // After everything: all clients leave, the guest is forgotten, nothing may be waiting.
  void end() {
    clients_.clear();
    turn();
  }

 private:
  void start() {
    rx_.emplace(make(kRx, Direction::device_writes));
    tx_.emplace(make(kTx, Direction::device_reads));
    muxer_.start({.memory = &memory(), .rx = &*rx_, .tx = &*tx_});
  }

  Ring make(std::size_t at, Direction direction) const {
    return {
        Virtqueue(
            {.descriptors = base_ + at, .available = base_ + at + 256, .used = base_ + at + 320},
            kSize, 0, true, direction),
        -1};
  }

  void turn() {
    if (io_.stopped()) io_.restart();
    (void)io_.poll();
  }

  void write_memory(std::span<const std::uint8_t>& input) {
    if (input.size() < 3) return;
    const std::size_t at = (input[0] | std::size_t{input[1]} << 8U) % kBytes;
    const std::size_t count = std::min<std::size_t>({input[2], input.size() - 3, kBytes - at});
    std::memcpy(base_ + at, input.data() + 3, count);
    input = input.subspan(3 + count);
  }

  void connect(std::uint8_t what) {
    std::array<int, 2> pair{};
    if (clients_.size() > 16 ||
        ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) != 0) {
      return;
    }
    clients_.emplace_back(pair[0]);
    (void)muxer_.connect(UniqueFd(pair[1]), what / 8);
  }

  void client_writes(std::uint8_t what, std::span<const std::uint8_t>& input) {
    accept();
    const std::size_t count = std::min<std::size_t>(what, input.size());
    if (!clients_.empty()) {
      (void)::send(clients_[what / 8 % clients_.size()].get(), input.data(), count, MSG_NOSIGNAL);
    }
    input = input.subspan(count);
  }

  void restart(std::uint8_t what) {
    muxer_.stop();
    if (what > 128) muxer_.forget_guest();
    start();
  }

  void accept() {
    const int fd = ::accept4(service(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) clients_.emplace_back(fd);
  }

  static void drain(int fd) {
    std::array<char, 4096> bytes{};
    while (::read(fd, bytes.data(), bytes.size()) > 0) {
    }
  }

  void on_broken_ring(std::string_view /*ring*/, std::string_view fault) override {
    if (fault.empty()) __builtin_trap();
  }
  void on_fewer_waiting() override {}

  std::byte* base_ = memory().at_user_address(0, kBytes, 16);
  boost::asio::io_context io_{1};
  std::optional<Ring> rx_;
  std::optional<Ring> tx_;
  Muxer muxer_{io_, 3, *this};
  std::vector<UniqueFd> clients_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)service();
  std::span<const std::uint8_t> input(data, size);
  World world;
  while (!input.empty()) world.step(input);
  world.end();
  for (int fd = 0; (fd = ::accept(service(), nullptr, nullptr)) >= 0;) ::close(fd);
  return 0;
}
