#include "runtime/network/redirect.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/route/act/mirred.h>
#include <netlink/route/action.h>
#include <netlink/route/classifier.h>
#include <netlink/route/cls/u32.h>
#include <netlink/route/link.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/tc.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/names.h"
#include "runtime/network/other_namespace.h"

namespace agentvm::runtime {

namespace {

using Link = std::unique_ptr<rtnl_link, NetlinkFree<rtnl_link_put>>;
using Qdisc = std::unique_ptr<rtnl_qdisc, NetlinkFree<rtnl_qdisc_put>>;
using Filter = std::unique_ptr<rtnl_cls, NetlinkFree<rtnl_cls_put>>;

constexpr std::uint32_t kIngress = TC_HANDLE(0xffff, 0);

// 32 bits of a packet from its network header on (tc-u32(8)), in host order.
struct Match {
  std::uint32_t value;
  std::uint32_t mask;
  int offset;
};

enum class Verdict : std::uint8_t { redirect, copy, keep };

struct Rule {
  std::uint16_t priority;
  std::uint16_t protocol;
  std::vector<Match> matches;
  Verdict verdict;
};

// A header without options, for u32 finds the ports at a fixed place.
constexpr Match kPlainIpv4{0x45000000, 0xff000000, 0};
constexpr int kIpv4Protocol = 8;
constexpr int kIpv4Ports = 20;
constexpr int kIpv6Next = 4;
constexpr int kIpv6Payload = 40;
constexpr std::uint32_t kNeighbourAdvertisement = 136;

// From port 53 to the reserved ones.
constexpr Match answer_ports(int offset) {
  return {std::uint32_t{rpc::kDnsPort} << 16 | kResolverPorts, 0xffff0000 | kResolverPorts, offset};
}

constexpr Match ipv4_protocol(std::uint32_t number) {
  return {number << 16, 0x00ff0000, kIpv4Protocol};
}
constexpr Match ipv6_next(std::uint32_t number) {
  return {number << 8, 0x0000ff00, kIpv6Next};
}

std::vector<Rule> rules_for_resolver() {
  return {
      {1, ETH_P_ARP, {{0, 0, 0}}, Verdict::copy},
      {2,
       ETH_P_IP,
       {kPlainIpv4, ipv4_protocol(IPPROTO_UDP), answer_ports(kIpv4Ports)},
       Verdict::keep},
      {3,
       ETH_P_IP,
       {kPlainIpv4, ipv4_protocol(IPPROTO_TCP), answer_ports(kIpv4Ports)},
       Verdict::keep},
      {4, ETH_P_IPV6, {ipv6_next(IPPROTO_UDP), answer_ports(kIpv6Payload)}, Verdict::keep},
      {5, ETH_P_IPV6, {ipv6_next(IPPROTO_TCP), answer_ports(kIpv6Payload)}, Verdict::keep},
      {6,
       ETH_P_IPV6,
       {ipv6_next(IPPROTO_ICMPV6), {kNeighbourAdvertisement << 24, 0xff000000, kIpv6Payload}},
       Verdict::copy},
  };
}

// By its priority our work is known again.
constexpr std::uint16_t kRuleForAll = 0xa6e7;

Rule rule_for_all() {
  return {kRuleForAll, ETH_P_ALL, {{0, 0, 0}}, Verdict::redirect};
}

bool is_joined(nl_sock* netlink, int index) {
  const auto filters = read_cache(
      [&](nl_cache** cache) { return rtnl_cls_alloc_cache(netlink, index, kIngress, cache); },
      "list the filters");
  bool ours = false;
  if (!filters) return ours;
  for_each<rtnl_cls>(*filters,
                     [&](rtnl_cls* filter) { ours |= rtnl_cls_get_prio(filter) == kRuleForAll; });
  return ours;
}

Result<void> add_action(rtnl_cls* filter, Verdict verdict, int to) {
  if (verdict == Verdict::keep) {
    return netlink_ok(rtnl_u32_set_classid(filter, TC_HANDLE(1, 1)), "make a filter");
  }
  std::unique_ptr<rtnl_act, NetlinkFree<rtnl_act_put>> action(rtnl_act_alloc());
  if (!action) return fail(ErrorKind::internal, "no memory for a filter's action");
  const bool copy = verdict == Verdict::copy;
  TRY(netlink_ok(rtnl_tc_set_kind(TC_CAST(action.get()), "mirred"), "make a mirred action"));
  rtnl_mirred_set_action(action.get(), copy ? TCA_EGRESS_MIRROR : TCA_EGRESS_REDIR);
  rtnl_mirred_set_policy(action.get(), copy ? TC_ACT_OK : TC_ACT_STOLEN);
  rtnl_mirred_set_ifindex(action.get(), static_cast<std::uint32_t>(to));
  TRY(netlink_ok(rtnl_u32_add_action(filter, action.get()), "make a mirred action"));
  return {};
}

Result<void> add_rule(nl_sock* netlink, const Rule& rule, int from, int to) {
  Filter filter(rtnl_cls_alloc());
  if (!filter) return fail(ErrorKind::internal, "no memory for a filter");
  rtnl_tc* base = TC_CAST(filter.get());
  rtnl_tc_set_ifindex(base, from);
  rtnl_tc_set_parent(base, kIngress);
  TRY(netlink_ok(rtnl_tc_set_kind(base, "u32"), "make a u32 filter"));
  rtnl_cls_set_protocol(filter.get(), rule.protocol);
  rtnl_cls_set_prio(filter.get(), rule.priority);
  for (const Match& match : rule.matches) {
    TRY(netlink_ok(
        rtnl_u32_add_key(filter.get(), htonl(match.value), htonl(match.mask), match.offset, 0),
        "make a u32 filter"));
  }
  TRY(netlink_ok(rtnl_u32_set_cls_terminal(filter.get()), "make a u32 filter"));
  TRY(add_action(filter.get(), rule.verdict, to));
  return netlink_ok(rtnl_cls_add(netlink, filter.get(), NLM_F_CREATE),
                    "add a filter (the kernel needs cls_u32 and act_mirred)");
}

Qdisc ingress_of(int index) {
  Qdisc qdisc(rtnl_qdisc_alloc());
  if (!qdisc) return qdisc;
  rtnl_tc* base = TC_CAST(qdisc.get());
  rtnl_tc_set_ifindex(base, index);
  rtnl_tc_set_parent(base, TC_H_INGRESS);
  rtnl_tc_set_handle(base, kIngress);
  rtnl_tc_set_kind(base, "ingress");
  return qdisc;
}

Result<void> forward(nl_sock* netlink, int from, int to, const std::vector<Rule>& rules) {
  part_interface(netlink, from);
  const Qdisc qdisc = ingress_of(from);
  if (!qdisc) return fail(ErrorKind::internal, "no memory for a queueing discipline");
  TRY(netlink_ok(rtnl_qdisc_add(netlink, qdisc.get(), NLM_F_CREATE | NLM_F_EXCL),
                 "add an ingress queueing discipline (the kernel needs sch_ingress)"));
  for (const Rule& rule : rules) TRY(add_rule(netlink, rule, from, to));
  return {};
}

Result<Tap> open_tap() {
  Tap tap;
  tap.fd = TRY(sys::open_at(AT_FDCWD, "/dev/net/tun", O_RDWR), "the kernel needs tun");
  ifreq request{};
  fmt::format_to_n(request.ifr_name, IFNAMSIZ - 1, "{}%d", kTapPrefix);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tap.fd.get(), TUNSETIFF, &request) != 0) return fail_errno(errno, "make a tap");
  tap.index = static_cast<int>(::if_nametoindex(request.ifr_name));
  // The namespace itself has nothing to say to the guest.
  (void)sys::write_file(fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", request.ifr_name),
                        "1");
  return tap;
}

Result<void> bring_up(nl_sock* netlink, const Tap& tap, std::uint32_t mtu) {
  const Link change(rtnl_link_alloc());
  if (!change) return fail(ErrorKind::internal, "no memory for a link");
  rtnl_link_set_ifindex(change.get(), tap.index);
  rtnl_link_set_mtu(change.get(), mtu);
  rtnl_link_set_flags(change.get(), IFF_UP);
  return netlink_ok(rtnl_link_change(netlink, change.get(), change.get(), 0), "bring the tap up");
}

}  // namespace

bool has_resolver() {
  // "  sl  local_address ...", addresses as the CPU's 32-bit words in hexadecimal.
  constexpr std::size_t kLimit = std::size_t{1} << 20;
  const auto sockets = sys::read_file("/proc/thread-self/net/udp", kLimit);
  const std::string local = fmt::format(" {:08X}:", htonl(rpc::kResolverAddress));
  return sockets && sockets->find(local) != std::string::npos;
}

Result<void> reserve_resolver_ports() {
  return sys::write_file("/proc/sys/net/ipv4/ip_local_port_range",
                         fmt::format("{} {}", kResolverPorts, 0xffff));
}

Result<Tap> make_tap(nl_sock* netlink, std::uint32_t mtu) {
  Tap tap = TRY(open_tap());
  TRY(bring_up(netlink, tap, mtu));
  return tap;
}

Result<Tap> join_interface(nl_sock* netlink, const SeenInterface& interface) {
  Tap tap = TRY(make_tap(netlink, interface.guest.mtu()));
  TRY(forward(netlink, interface.index, tap.index, {rule_for_all()}));
  TRY(forward(netlink, tap.index, interface.index, {rule_for_all()}));
  return tap;
}

Result<void> admit_resolver(nl_sock* netlink, int interface, int tap) {
  for (const Rule& rule : rules_for_resolver()) TRY(add_rule(netlink, rule, interface, tap));
  return {};
}

void part_interface(nl_sock* netlink, int index) {
  const Qdisc qdisc = ingress_of(index);
  if (qdisc) (void)rtnl_qdisc_delete(netlink, qdisc.get());
}

void release_namespace(const std::string& path) {
  in_network_namespace(path, [] {
    const auto netlink = open_netlink();
    if (!netlink) return;
    const auto scan = scan_network(netlink->get());
    if (!scan || scan->taken) return;
    for (const SeenInterface& interface : scan->interfaces) {
      if (is_joined(netlink->get(), interface.index)) {
        part_interface(netlink->get(), interface.index);
      }
    }
  });
}

}  // namespace agentvm::runtime
