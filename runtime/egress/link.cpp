#include "runtime/egress/link.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

using Address = std::unique_ptr<rtnl_addr, NetlinkFree<rtnl_addr_put>>;
using Link = std::unique_ptr<rtnl_link, NetlinkFree<rtnl_link_put>>;
using Bytes = std::unique_ptr<nl_addr, NetlinkFree<nl_addr_put>>;

constexpr std::uint32_t kFirstNet = 0x0ad50000;  // 10.213.0.0
constexpr std::uint32_t kNets = 0x4000;          // of 30 bits in 16
constexpr std::uint32_t kMinIpv6Mtu = 1280;      // RFC 8200, 5
constexpr std::uint32_t kDefaultMtu = 1500;
constexpr const char* kSettings = "/proc/sys/net";

std::string ipv4_text(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 0xff, address >> 8 & 0xff,
                     address & 0xff);
}

// A network of the namespace, in host order.
struct Net {
  std::uint32_t address = 0;
  std::uint32_t bits = 0;
};

std::vector<Net> ipv4_nets(const NetworkScan& scan) {
  std::vector<Net> nets;
  const auto add = [&](const std::string& bytes, std::uint32_t bits) {
    if (bytes.size() != sizeof(in_addr) || bits > 32) return;
    std::uint32_t address = 0;
    for (const char byte : bytes) address = address << 8 | static_cast<unsigned char>(byte);
    // The default route is no network that could be hidden.
    if (bits != 0) nets.push_back({address, bits});
  };
  for (const SeenInterface& seen : scan.interfaces) {
    for (const auto& address : seen.guest.addresses()) {
      add(address.address(), address.prefix_length());
    }
  }
  for (const auto& route : scan.routes) add(route.destination(), route.prefix_length());
  return nets;
}

bool overlaps(std::uint32_t net, const Net& other) {
  const std::uint32_t bits = std::min<std::uint32_t>(30, other.bits);
  const std::uint32_t mask = ~std::uint32_t{0} << (32 - bits);
  return (net & mask) == (other.address & mask);
}

Result<void> set(std::string_view family, std::string_view scope, std::string_view key,
                 std::string_view value) {
  return sys::write_file(fmt::format("{}/{}/conf/{}/{}", kSettings, family, scope, key), value);
}

bool is_set(std::string_view family, std::string_view scope, std::string_view key) {
  const auto value =
      sys::read_file(fmt::format("{}/{}/conf/{}/{}", kSettings, family, scope, key), 16);
  return value && !value->empty() && value->front() != '0';
}

bool has_ipv6() {
  return std::filesystem::exists(fmt::format("{}/ipv6/conf", kSettings));
}

struct Setting {
  std::string_view family;
  std::string_view key;
  std::string_view value;
};

// Before IPv6 is enabled: what the guest says about routers is not heard, and there is no address
// but the one that is set.
constexpr std::array kTapSettings{Setting{"ipv4", "accept_redirects", "0"},
                                  Setting{"ipv4", "send_redirects", "0"},
                                  Setting{"ipv4", "accept_source_route", "0"},
                                  Setting{"ipv4", "arp_ignore", "1"},
                                  Setting{"ipv6", "accept_ra", "0"},
                                  Setting{"ipv6", "accept_redirects", "0"},
                                  Setting{"ipv6", "autoconf", "0"},
                                  Setting{"ipv6", "addr_gen_mode", "1"},
                                  Setting{"ipv6", "disable_ipv6", "0"}};

Result<void> configure(const SandboxLink& link) {
  for (const Setting& setting : kTapSettings) {
    if (setting.family == "ipv6" && !link.ipv6) continue;
    TRY(set(setting.family, link.name, setting.key, setting.value), "the guest's link");
  }
  return {};
}

Result<void> add_address(nl_sock* netlink, int tap, const std::string& text, int bits) {
  nl_addr* parsed = nullptr;
  TRY(netlink_ok(nl_addr_parse(text.c_str(), AF_UNSPEC, &parsed), "parse an address"));
  const Bytes local(parsed);
  nl_addr_set_prefixlen(local.get(), bits);
  const Address address(rtnl_addr_alloc());
  if (!address) return fail(ErrorKind::internal, "no memory for an address");
  rtnl_addr_set_ifindex(address.get(), tap);
  TRY(netlink_ok(rtnl_addr_set_local(address.get(), local.get()), "make an address"));
  if (nl_addr_get_family(local.get()) == AF_INET6) {
    rtnl_addr_set_flags(address.get(), IFA_F_NODAD);  // at once: who else should have it?
    if (text == kTapLinkLocal) rtnl_addr_set_scope(address.get(), RT_SCOPE_LINK);
  }
  return netlink_ok(rtnl_addr_add(netlink, address.get(), NLM_F_EXCL),
                    fmt::format("give the guest's link address {}", text));
}

// An interface that learnt its routes keeps them only so when the namespace begins to forward.
void keep_learnt_routes() {
  std::error_code none;
  const std::string place = fmt::format("{}/ipv6/conf", kSettings);
  for (const auto& entry : std::filesystem::directory_iterator(place, none)) {
    const std::string name = entry.path().filename();
    const auto value = sys::read_file(entry.path() / "accept_ra", 16);
    if (name != "all" && name != "default" && value && value->starts_with('1')) {
      (void)set("ipv6", name, "accept_ra", "2");
    }
  }
}

}  // namespace

Result<LinkAddresses> choose_addresses(const NetworkScan& scan) {
  const auto nets = ipv4_nets(scan);
  for (std::uint32_t i = 0; i < kNets; ++i) {
    const std::uint32_t net = kFirstNet + 4 * i;
    if (std::ranges::any_of(nets, [&](const Net& other) { return overlaps(net, other); })) continue;
    return LinkAddresses{ipv4_text(net + 1),  ipv4_text(net + 2),  ipv4_text(net),
                         "fd61:6774:766d::1", "fd61:6774:766d::2", "fd61:6774:766d::"};
  }
  return fail(
      ErrorKind::failed_precondition,
      "its network namespace has a route for all of 10.213.0.0/16, of which the guest of an "
      "agent sandbox needs four addresses");
}

std::uint32_t link_mtu(const NetworkScan& scan) {
  if (scan.interfaces.empty()) return kDefaultMtu;
  const auto least = std::ranges::min(scan.interfaces, {},
                                      [](const SeenInterface& seen) { return seen.guest.mtu(); });
  return least.guest.mtu();
}

Result<SandboxLink> make_link(nl_sock* netlink, const NetworkScan& scan) {
  SandboxLink link;
  link.addresses = TRY(choose_addresses(scan));
  link.mtu = link_mtu(scan);
  link.ipv6 = has_ipv6() && link.mtu >= kMinIpv6Mtu;
  link.tap = TRY(make_tap(netlink, link.mtu));
  std::array<char, IF_NAMESIZE> name{};
  if (::if_indextoname(static_cast<unsigned>(link.tap.index), name.data()) == nullptr) {
    return fail_errno(errno, "name the guest's link");
  }
  link.name = name.data();
  TRY(configure(link));
  TRY(add_address(netlink, link.tap.index, link.addresses.ours4, 30));
  if (link.ipv6) {
    TRY(add_address(netlink, link.tap.index, kTapLinkLocal, 64));
    TRY(add_address(netlink, link.tap.index, link.addresses.ours6, 64));
  }
  return link;
}

void remove_link(nl_sock* netlink, int tap) {
  const Link link(rtnl_link_alloc());
  if (!link) return;
  rtnl_link_set_ifindex(link.get(), tap);
  (void)rtnl_link_delete(netlink, link.get());
}

Forwarding read_forwarding() {
  return {is_set("ipv4", "all", "forwarding"), is_set("ipv6", "all", "forwarding")};
}

Result<void> begin_forwarding(bool ipv6) {
  const Forwarding now = read_forwarding();
  if (!now.ipv4) TRY(set("ipv4", "all", "forwarding", "1"), "let the namespace forward");
  if (!ipv6 || now.ipv6) return {};
  keep_learnt_routes();
  return set("ipv6", "all", "forwarding", "1");
}

void restore_forwarding(const Forwarding& before) {
  if (!before.ipv4) (void)set("ipv4", "all", "forwarding", "0");
  if (!before.ipv6 && has_ipv6()) (void)set("ipv6", "all", "forwarding", "0");
}

bool reaches_ipv6() {
  const UniqueFd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 anywhere{};
  anywhere.sin6_family = AF_INET6;
  anywhere.sin6_port = htons(9);
  // 2000::/3 is what is given out of the Internet. Connecting sends nothing: a route is looked up.
  ::inet_pton(AF_INET6, "2000::1", &anywhere.sin6_addr);
  const auto* address = reinterpret_cast<const sockaddr*>(&anywhere);
  return socket && ::connect(socket.get(), address, sizeof anywhere) == 0;
}

}  // namespace agentvm::runtime
