#include "runtime/network/watch.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr std::chrono::milliseconds kSettling{50};

}  // namespace

Result<NetworkWatch> NetworkWatch::open() {
  auto socket = TRY(open_netlink());
  TRY(netlink_ok(nl_socket_add_memberships(socket.get(), RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
                                           RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                                           RTNLGRP_IPV6_ROUTE, RTNLGRP_NONE),
                 "follow the network's changes"));
  TRY(netlink_ok(nl_socket_set_nonblocking(socket.get()), "follow the network's changes"));
  return NetworkWatch(std::move(socket));
}

// What has changed is looked up anew, so that nothing is lost with a message that did not fit.
void NetworkWatch::drain() {
  std::array<char, 8192> bytes;
  for (;;) {
    const ssize_t n = ::recv(nl_socket_get_fd(socket_.get()), bytes.data(), bytes.size(), 0);
    if (n < 0 && errno != EINTR && errno != ENOBUFS) return;
  }
}

Task<void> NetworkWatch::wait_change() {
  auto readable = co_await wait_readable(nl_socket_get_fd(socket_.get()));
  CO_TRY(std::move(readable));
  asio::steady_timer settled(co_await asio::this_coro::executor, kSettling);
  (void)co_await settled.async_wait(use_result);
  drain();
  co_return Result<void>{};
}

}  // namespace agentvm::runtime
