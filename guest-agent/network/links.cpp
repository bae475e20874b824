#include "guest-agent/network/links.h"

#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/errno.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/route.h>

#include <array>
#include <cerrno>
#include <initializer_list>
#include <string_view>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

constexpr int kReplace = NLM_F_CREATE | NLM_F_REPLACE;
constexpr std::size_t kIpv4 = 4;
constexpr std::size_t kIpv6 = 16;

template <auto Put>
struct PutObject {
  template <class T>
  void operator()(T* object) const {
    Put(object);
  }
};
using Link = std::unique_ptr<rtnl_link, PutObject<rtnl_link_put>>;
using Address = std::unique_ptr<rtnl_addr, PutObject<rtnl_addr_put>>;
using Route = std::unique_ptr<rtnl_route, PutObject<rtnl_route_put>>;
using Neighbour = std::unique_ptr<rtnl_neigh, PutObject<rtnl_neigh_put>>;
using Bytes = std::unique_ptr<nl_addr, PutObject<nl_addr_put>>;

Result<void> done(int code, std::string_view doing,
                  std::initializer_list<int> fine = {}) {
  for (const int other : fine) {
    if (code == -other) return {};
  }
  if (code >= 0) return {};
  return fail(ErrorKind::internal, fmt::format("{}: {}", doing, nl_geterror(code)));
}

Result<int> index_of(const std::string& name) {
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) return fail_errno(errno, fmt::format("interface '{}'", name));
  return static_cast<int>(index);
}

Result<Bytes> ip_bytes(const std::string& bytes, std::uint32_t prefix_length) {
  if (bytes.size() != kIpv4 && bytes.size() != kIpv6) {
    return fail(ErrorKind::invalid_argument, "an address has neither 4 nor 16 bytes");
  }
  if (prefix_length > bytes.size() * 8) {
    return fail(ErrorKind::invalid_argument, "a prefix is longer than its address");
  }
  Bytes address(
      nl_addr_build(bytes.size() == kIpv4 ? AF_INET : AF_INET6, bytes.data(), bytes.size()));
  if (!address) return fail(ErrorKind::internal, "no memory for an address");
  nl_addr_set_prefixlen(address.get(), static_cast<int>(prefix_length));
  return address;
}

Result<Bytes> host_bytes(const std::string& bytes) {
  return ip_bytes(bytes, static_cast<std::uint32_t>(bytes.size() * 8));
}

Result<Address> make(const std::string& interface, const agent::v1::NetworkAddress& wanted) {
  Address address(rtnl_addr_alloc());
  if (!address) return fail(ErrorKind::internal, "no memory for an address");
  rtnl_addr_set_ifindex(address.get(), TRY(index_of(interface)));
  const Bytes local = TRY(ip_bytes(wanted.address(), wanted.prefix_length()));
  rtnl_addr_set_local(address.get(), local.get());
  if (!wanted.peer().empty()) {
    const Bytes peer = TRY(ip_bytes(wanted.peer(), wanted.prefix_length()));
    rtnl_addr_set_peer(address.get(), peer.get());
  }
  if (!wanted.broadcast().empty()) {
    const Bytes broadcast = TRY(host_bytes(wanted.broadcast()));
    rtnl_addr_set_broadcast(address.get(), broadcast.get());
  }
  rtnl_addr_set_scope(address.get(), static_cast<int>(wanted.scope()));
  // The namespace on the host has looked for another owner.
  if (wanted.address().size() == kIpv6) rtnl_addr_set_flags(address.get(), IFA_F_NODAD);
  return address;
}

Result<Route> make(const agent::v1::NetworkRoute& wanted) {
  Route route(rtnl_route_alloc());
  rtnl_nexthop* hop = route ? rtnl_route_nh_alloc() : nullptr;
  if (hop == nullptr) return fail(ErrorKind::internal, "no memory for a route");
  rtnl_route_add_nexthop(route.get(), hop);  // which owns it from here on
  const Bytes destination = TRY(ip_bytes(wanted.destination(), wanted.prefix_length()));
  rtnl_route_set_family(route.get(), static_cast<std::uint8_t>(nl_addr_get_family(destination.get())));
  rtnl_route_set_dst(route.get(), destination.get());
  rtnl_route_set_table(route.get(), RT_TABLE_MAIN);
  rtnl_route_set_protocol(route.get(), RTPROT_STATIC);
  rtnl_route_set_type(route.get(), RTN_UNICAST);
  rtnl_route_set_scope(route.get(), static_cast<std::uint8_t>(wanted.scope()));
  rtnl_route_set_priority(route.get(), wanted.metric());
  if (!wanted.source().empty()) {
    const Bytes source = TRY(host_bytes(wanted.source()));
    rtnl_route_set_pref_src(route.get(), source.get());
  }
  rtnl_route_nh_set_ifindex(hop, TRY(index_of(wanted.interface())));
  if (!wanted.gateway().empty()) {
    const Bytes gateway = TRY(host_bytes(wanted.gateway()));
    rtnl_route_nh_set_gateway(hop, gateway.get());
  }
  if (wanted.onlink()) rtnl_route_nh_set_flags(hop, RTNH_F_ONLINK);
  return route;
}

Result<Neighbour> make(const agent::v1::NetworkNeighbour& wanted) {
  Neighbour entry(rtnl_neigh_alloc());
  if (!entry) return fail(ErrorKind::internal, "no memory for a neighbour");
  rtnl_neigh_set_ifindex(entry.get(), TRY(index_of(wanted.interface())));
  const Bytes address = TRY(host_bytes(wanted.address()));
  rtnl_neigh_set_dst(entry.get(), address.get());
  const Bytes mac(nl_addr_build(AF_LLC, wanted.mac().data(), wanted.mac().size()));
  if (!mac) return fail(ErrorKind::internal, "no memory for a neighbour");
  rtnl_neigh_set_lladdr(entry.get(), mac.get());
  rtnl_neigh_set_state(entry.get(), NUD_PERMANENT);
  return entry;
}

Result<Link> link_of(int index) {
  Link link(rtnl_link_alloc());
  if (!link) return fail(ErrorKind::internal, "no memory for a link");
  rtnl_link_set_ifindex(link.get(), index);
  return link;
}

// Of what `changes` sets; a name is only changed when it is not that of the original.
Result<void> change(nl_sock* socket, int index, const Link& changes, std::string_view doing) {
  const Link original = TRY(link_of(index));
  return done(rtnl_link_change(socket, original.get(), changes.get(), 0), doing);
}

}  // namespace

void Links::Free::operator()(nl_sock* socket) const {
  nl_socket_free(socket);
}

Result<Links> Links::open() {
  Socket socket(nl_socket_alloc());
  if (!socket) return fail(ErrorKind::internal, "no memory for a netlink socket");
  TRY(done(nl_connect(socket.get(), NETLINK_ROUTE), "open a netlink socket"));
  return Links(std::move(socket));
}

Result<void> Links::bring_up(const std::string& kernel_name,
                             const agent::v1::NetworkInterface& interface) const {
  const int index = TRY(index_of(kernel_name));
  if (kernel_name != interface.name()) {
    const Link renamed = TRY(link_of(index));
    rtnl_link_set_name(renamed.get(), interface.name().c_str());
    TRY(change(socket_.get(), index, renamed,
               fmt::format("rename '{}' to '{}'", kernel_name, interface.name())));
  }
  const std::string ipv6 = "/proc/sys/net/ipv6/conf/" + interface.name() + "/disable_ipv6";
  TRY(sys::write_file(ipv6, interface.ipv6() ? "0" : "1"));
  const Link up = TRY(link_of(index));
  rtnl_link_set_mtu(up.get(), interface.mtu());
  rtnl_link_set_flags(up.get(), IFF_UP);
  return change(socket_.get(), index, up, fmt::format("bring '{}' up", interface.name()));
}

Result<void> Links::set_mtu(const agent::v1::NetworkInterface& interface) const {
  const int index = TRY(index_of(interface.name()));
  const Link resized = TRY(link_of(index));
  rtnl_link_set_mtu(resized.get(), interface.mtu());
  return change(socket_.get(), index, resized, fmt::format("set the MTU of '{}'", interface.name()));
}

Result<void> Links::add(const std::string& interface,
                        const agent::v1::NetworkAddress& address) const {
  const Address made = TRY(make(interface, address));
  return done(rtnl_addr_add(socket_.get(), made.get(), kReplace),
              fmt::format("add an address to '{}'", interface));
}

Result<void> Links::remove(const std::string& interface,
                           const agent::v1::NetworkAddress& address) const {
  const Address made = TRY(make(interface, address));
  return done(rtnl_addr_delete(socket_.get(), made.get(), 0),
              fmt::format("remove an address from '{}'", interface), {NLE_NOADDR, NLE_OBJ_NOTFOUND});
}

Result<void> Links::add(const agent::v1::NetworkRoute& route) const {
  const Route made = TRY(make(route));
  return done(rtnl_route_add(socket_.get(), made.get(), kReplace),
              fmt::format("add a route over '{}'", route.interface()));
}

Result<void> Links::remove(const agent::v1::NetworkRoute& route) const {
  const Route made = TRY(make(route));
  return done(rtnl_route_delete(socket_.get(), made.get(), 0),
              fmt::format("remove a route over '{}'", route.interface()),
              {NLE_OBJ_NOTFOUND});
}

Result<void> Links::add(const agent::v1::NetworkNeighbour& neighbour) const {
  const Neighbour made = TRY(make(neighbour));
  return done(rtnl_neigh_add(socket_.get(), made.get(), kReplace),
              fmt::format("add a neighbour on '{}'", neighbour.interface()));
}

Result<void> Links::remove(const agent::v1::NetworkNeighbour& neighbour) const {
  const Neighbour made = TRY(make(neighbour));
  return done(rtnl_neigh_delete(socket_.get(), made.get(), 0),
              fmt::format("remove a neighbour on '{}'", neighbour.interface()), {NLE_OBJ_NOTFOUND});
}

}  // namespace agentvm::guest
