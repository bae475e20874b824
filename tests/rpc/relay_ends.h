// Ends for a relay under test: pipes, sockets, ptys, files; and peers on threads that write a
// known sequence and check it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "oci/base/sys.h"
#include "oci/base/unique_fd.h"

namespace agentvm::rpc {

// near: given to the relay; far: the other side's. A file has no far end.
struct Ends {
  UniqueFd near;
  UniqueFd far;
};

inline Ends source_pipe() {
  auto pipe = sys::pipe();
  return {std::move(pipe->first), std::move(pipe->second)};
}

inline Ends sink_pipe() {
  auto pipe = sys::pipe();
  return {std::move(pipe->second), std::move(pipe->first)};
}

inline Ends socket_ends(bool non_blocking) {
  auto pair = sys::socket_pair(SOCK_STREAM);
  if (non_blocking) ::fcntl(pair->first.get(), F_SETFL, O_NONBLOCK);
  return {std::move(pair->first), std::move(pair->second)};
}

// The sequence that every test sends repeats after kPeriod bytes, a prime: a piece that is lost,
// doubled or swapped shows. The table holds it twice, so that any piece of it is one view.
inline constexpr std::size_t kPeriod = 524287;

inline std::string_view sequence(std::uint64_t from, std::size_t count) {
  static const std::string table = [] {
    std::string bytes(2 * kPeriod, '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<char>((i % kPeriod * 2654435761U) >> 13);
    }
    return bytes;
  }();
  return std::string_view(table).substr(from % kPeriod, count);
}

// Writes `total` bytes in pieces of odd sizes, then closes `fd`.
class Writer {
 public:
  Writer(UniqueFd fd, std::uint64_t total)
      : thread_([fd = std::move(fd), total] {
          std::uint64_t sent = 0;
          for (std::size_t piece = 1; sent < total; piece = piece % 150001 + 37777) {
            const auto count = std::min<std::uint64_t>(piece, total - sent);
            if (!sys::write_all(fd.get(), sequence(sent, count))) return;
            sent += count;
          }
        }) {}
  ~Writer() { thread_.join(); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

 private:
  std::thread thread_;
};

// Reads to the end and checks every byte; received() joins.
class Reader {
 public:
  explicit Reader(UniqueFd fd)
      : thread_([this, fd = std::move(fd)] {
          std::vector<char> chunk(1 << 17);
          for (;;) {
            const ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
            if (n <= 0) {
              ended_ = n == 0;
              return;
            }
            const auto count = static_cast<std::size_t>(n);
            const std::string_view bytes(chunk.data(), count);
            in_order_ = in_order_ && bytes == sequence(received_, count);
            received_ += count;
          }
        }) {}
  ~Reader() {
    if (thread_.joinable()) thread_.join();
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // The number of bytes, after the end of the stream; fails the test when they were not in order.
  std::uint64_t received() {
    thread_.join();
    EXPECT_TRUE(in_order_);
    EXPECT_TRUE(ended_) << "no end of file";
    return received_;
  }

 private:
  std::uint64_t received_ = 0;
  bool in_order_ = true;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace agentvm::rpc
