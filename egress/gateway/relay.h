// Bytes from one socket to another and back, through pipes of the kernel's (splice(2)): they never
// come into this process.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <vector>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::egress {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

// Pipes are held only while bytes are in them: connections that wait have none.
class PipePool {
 public:
  static constexpr std::size_t kMaxIdle = 16;
  static constexpr int kBytes = 1 << 18;

  [[nodiscard]] Result<Pipe> take();
  void give_back(Pipe pipe);  // it has to be empty

 private:
  std::vector<Pipe> idle_;
};

struct Traffic {
  std::uint64_t to_first = 0;
  std::uint64_t to_second = 0;
  std::chrono::steady_clock::time_point active = std::chrono::steady_clock::now();
  bool half_closed = false;
};

// Until both sides have ended, or one has failed: then both are closed. Either may be closed by the
// caller meanwhile.
[[nodiscard]] asio::awaitable<void> relay(asio::ip::tcp::socket& first,
                                          asio::ip::tcp::socket& second, PipePool& pipes,
                                          Traffic& traffic);

// Closes with a reset, so that the peer knows that this was no end.
void reset(asio::ip::tcp::socket& socket);

}  // namespace agentvm::egress
