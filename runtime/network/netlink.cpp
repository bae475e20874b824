#include "runtime/network/netlink.h"

#include <fmt/format.h>

#include "oci/base/try.h"

namespace agentvm::runtime {

Result<void> netlink_ok(int code, std::string_view doing) {
  if (code >= 0) return {};
  return fail(ErrorKind::internal, fmt::format("{}: {}", doing, nl_geterror(code)));
}

Result<NetlinkSocket> open_netlink() {
  NetlinkSocket socket(nl_socket_alloc());
  if (!socket) return fail(ErrorKind::internal, "no memory for a netlink socket");
  TRY(netlink_ok(nl_connect(socket.get(), NETLINK_ROUTE), "open a netlink socket"));
  return socket;
}

Result<NetlinkCache> read_cache(const std::function<int(nl_cache**)>& allocate,
                                std::string_view doing) {
  nl_cache* cache = nullptr;
  TRY(netlink_ok(allocate(&cache), doing));
  return NetlinkCache(cache);
}

}  // namespace agentvm::runtime
