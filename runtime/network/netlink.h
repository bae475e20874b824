// libnl's objects as values that free themselves, and its errors as ours. Of the network namespace
// of the calling process.
#pragma once

#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/object.h>
#include <netlink/socket.h>

#include <functional>
#include <memory>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::runtime {

template <auto Free>
struct NetlinkFree {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

using NetlinkSocket = std::unique_ptr<nl_sock, NetlinkFree<nl_socket_free>>;
using NetlinkCache = std::unique_ptr<nl_cache, NetlinkFree<nl_cache_free>>;

// `code` is what a function of libnl returned: negative is an error.
[[nodiscard]] Result<void> netlink_ok(int code, std::string_view doing);

// A connected socket for rtnetlink(7).
[[nodiscard]] Result<NetlinkSocket> open_netlink();

// What one of libnl's *_alloc_cache functions makes.
[[nodiscard]] Result<NetlinkCache> read_cache(const std::function<int(nl_cache**)>& allocate,
                                              std::string_view doing);

// The objects of a cache, as `T*`; the cache keeps them.
template <class T, class Visit>
void for_each(const NetlinkCache& cache, Visit visit) {
  for (nl_object* object = nl_cache_get_first(cache.get()); object != nullptr;
       object = nl_cache_get_next(object)) {
    visit(reinterpret_cast<T*>(object));
  }
}

}  // namespace agentvm::runtime
