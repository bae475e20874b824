// Waits for either side of a relay. The two fds sit in an epoll instance of their own and Asio
// watches only that: Asio sets O_NONBLOCK on what it watches, which a lent fd must not get.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>

#include "oci/base/async.h"

namespace agentvm::rpc {

class RelayWaiter {
 public:
  // Fds that epoll refuses (regular files, /dev/null) are taken for always ready.
  [[nodiscard]] static Result<RelayWaiter> create(const asio::any_io_executor& executor, int source,
                                                  int sink);

  // Until the source has bytes or its end. True: the sink broke and the source is silent, told
  // only with `watch_sink`.
  [[nodiscard]] Task<bool> wait_source(bool watch_sink);
  // Until the sink takes bytes or breaks.
  [[nodiscard]] Task<void> wait_sink();

 private:
  struct Watched {
    int fd = -1;
    bool pollable = true;
    bool added = false;
    std::uint32_t events = 0;
  };
  struct Found {
    bool source = false;
    bool sink = false;
  };

  RelayWaiter(asio::posix::stream_descriptor epoll, int source, int sink);
  Result<void> watch(Watched& which, std::uint32_t events);
  void ignore(Watched& which);
  [[nodiscard]] Task<Found> wait();

  asio::posix::stream_descriptor epoll_;
  Watched source_;
  Watched sink_;
};

}  // namespace agentvm::rpc
