#include "runtime/network/scan.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/route.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMacSize = 6;

std::string bytes_of(const nl_addr* address) {
  if (address == nullptr) return {};
  return {static_cast<const char*>(nl_addr_get_binary_addr(address)), nl_addr_get_len(address)};
}

bool ipv6_enabled(const std::string& interface) {
  const auto value = sys::read_file("/proc/sys/net/ipv6/conf/" + interface + "/disable_ipv6", 16);
  return value && value->starts_with('0');
}

// What the kernel makes of a MAC address (RFC 4291, appendix A).
std::string link_local_of(const std::string& mac) {
  std::string address("\xfe\x80\0\0\0\0\0\0", 8);
  address += static_cast<char>(mac[0] ^ 0x02);
  address.append(mac, 1, 2).append("\xff\xfe").append(mac, 3, 3);
  return address;
}

class Scan {
 public:
  explicit Scan(nl_sock* netlink) : netlink_(netlink) {}

  Result<NetworkScan> run() {
    TRY(read_links());
    if (found_.interfaces.empty()) return std::move(found_);
    TRY(read_addresses());
    for (const int family : {AF_INET, AF_INET6}) TRY(read_routes(family));
    TRY(read_neighbours());
    return std::move(found_);
  }

 private:
  Result<void> read_links() {
    const auto links = TRY(read_cache(
        [this](nl_cache** cache) { return rtnl_link_alloc_cache(netlink_, AF_UNSPEC, cache); },
        "list the network interfaces"));
    for_each<rtnl_link>(links, [this](rtnl_link* link) { add_link(link); });
    std::ranges::sort(found_.interfaces, {}, &SeenInterface::index);
    return {};
  }

  void add_link(rtnl_link* link) {
    const std::string name = rtnl_link_get_name(link);
    const std::string mac = bytes_of(rtnl_link_get_addr(link));
    const unsigned flags = rtnl_link_get_flags(link);
    if (name.starts_with(kTapPrefix)) {
      found_.taken = true;
      return;
    }
    if (rtnl_link_get_arptype(link) != ARPHRD_ETHER || mac.size() != kMacSize) return;
    if ((flags & IFF_UP) == 0 || (flags & IFF_LOOPBACK) != 0) return;
    SeenInterface seen;
    seen.index = rtnl_link_get_ifindex(link);
    seen.guest.set_name(name);
    seen.guest.set_mac(mac);
    seen.guest.set_mtu(rtnl_link_get_mtu(link));
    seen.guest.set_ipv6(ipv6_enabled(name));
    found_.interfaces.push_back(std::move(seen));
  }

  // nullptr: none that the guest gets.
  agent::v1::NetworkInterface* interface_of(int index) {
    const auto seen = std::ranges::find(found_.interfaces, index, &SeenInterface::index);
    return seen == found_.interfaces.end() ? nullptr : &seen->guest;
  }

  Result<void> read_addresses() {
    const auto addresses = TRY(
        read_cache([this](nl_cache** cache) { return rtnl_addr_alloc_cache(netlink_, cache); },
                   "list the addresses"));
    for_each<rtnl_addr>(addresses, [this](rtnl_addr* address) { add_address(address); });
    return {};
  }

  void add_address(rtnl_addr* address) {
    auto* interface = interface_of(rtnl_addr_get_ifindex(address));
    const std::string local = bytes_of(rtnl_addr_get_local(address));
    if (interface == nullptr || local.empty()) return;
    const bool learnt = (rtnl_addr_get_flags(address) & IFA_F_PERMANENT) == 0;
    if (learnt || local == link_local_of(interface->mac())) return;
    auto& guest = *interface->add_addresses();
    guest.set_address(local);
    guest.set_prefix_length(static_cast<std::uint32_t>(rtnl_addr_get_prefixlen(address)));
    guest.set_broadcast(bytes_of(rtnl_addr_get_broadcast(address)));
    const std::string peer = bytes_of(rtnl_addr_get_peer(address));
    if (peer != local) guest.set_peer(peer);
    guest.set_scope(static_cast<std::uint32_t>(rtnl_addr_get_scope(address)));
  }

  Result<void> read_routes(int family) {
    const auto routes = TRY(read_cache(
        [&](nl_cache** cache) { return rtnl_route_alloc_cache(netlink_, family, 0, cache); },
        "list the routes"));
    for_each<rtnl_route>(routes, [this](rtnl_route* route) { add_route(route); });
    return {};
  }

  void add_route(rtnl_route* route) {
    const std::uint8_t protocol = rtnl_route_get_protocol(route);
    if (rtnl_route_get_table(route) != RT_TABLE_MAIN || protocol == RTPROT_KERNEL ||
        protocol == RTPROT_RA || rtnl_route_get_type(route) != RTN_UNICAST) {
      return;
    }
    if (rtnl_route_get_nnexthops(route) != 1) {
      log::warning("a route with several next hops is not passed to the guest");
      return;
    }
    rtnl_nexthop* hop = rtnl_route_nexthop_n(route, 0);
    const auto* interface = interface_of(rtnl_route_nh_get_ifindex(hop));
    if (interface == nullptr) return;
    agent::v1::NetworkRoute guest;
    guest.set_interface(interface->name());
    nl_addr* destination = rtnl_route_get_dst(route);
    guest.set_prefix_length(nl_addr_get_prefixlen(destination));
    guest.set_destination(bytes_of(destination));
    const std::size_t size = rtnl_route_get_family(route) == AF_INET ? 4 : 16;
    if (guest.destination().empty()) guest.set_destination(std::string(size, '\0'));
    guest.set_gateway(bytes_of(rtnl_route_nh_get_gateway(hop)));
    guest.set_source(bytes_of(rtnl_route_get_pref_src(route)));
    guest.set_scope(rtnl_route_get_scope(route));
    guest.set_metric(rtnl_route_get_priority(route));
    guest.set_onlink((rtnl_route_nh_get_flags(hop) & RTNH_F_ONLINK) != 0);
    found_.routes.push_back(std::move(guest));
  }

  Result<void> read_neighbours() {
    const auto neighbours = TRY(
        read_cache([this](nl_cache** cache) { return rtnl_neigh_alloc_cache(netlink_, cache); },
                   "list the neighbours"));
    for_each<rtnl_neigh>(neighbours, [this](rtnl_neigh* entry) {
      const auto* interface = interface_of(rtnl_neigh_get_ifindex(entry));
      const std::string mac = bytes_of(rtnl_neigh_get_lladdr(entry));
      const std::string address = bytes_of(rtnl_neigh_get_dst(entry));
      if (interface == nullptr || rtnl_neigh_get_state(entry) != NUD_PERMANENT) return;
      if (mac.size() != kMacSize || (address.size() != 4 && address.size() != 16)) return;
      agent::v1::NetworkNeighbour guest;
      guest.set_interface(interface->name());
      guest.set_address(address);
      guest.set_mac(mac);
      found_.neighbours.push_back(std::move(guest));
    });
    return {};
  }

  nl_sock* netlink_;
  NetworkScan found_;
};

}  // namespace

Result<NetworkScan> scan_network(nl_sock* netlink) {
  return Scan(netlink).run();
}

Result<void> check_untaken(const NetworkScan& scan) {
  if (!scan.taken) return {};
  return fail(ErrorKind::failed_precondition,
              "its network namespace belongs to another container (--network container:), and two "
              "VMs cannot share one: connect both containers to one network instead");
}

}  // namespace agentvm::runtime
