#include "runtime/egress/ruleset.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <nftables/libnftables.h>

#include <memory>

#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kReset = "add table inet agentvm\ndelete table inet agentvm\n";

// Neighbours find each other (RFC 4861, 7.1), in the link alone: an error that is sent for one of
// these goes to its sender, who must not be able to be anybody else.
std::string neighbours(const LinkAddresses& at) {
  return fmt::format(
      "icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 "
      "ip6 saddr {{ ::, fe80::/10, {} }} ip6 daddr {{ {}, {}, ff02::1, ff02::1:ff00:0/104 }} "
      "accept",
      at.theirs6, at.ours6, kTapLinkLocal);
}

// What the guest sends, as it comes out of the tap, before the kernel has read any of it: nothing
// but ARP, and IP from its own addresses. Here and not later, since the kernel reads IPv6's
// hop-by-hop options before it asks any chain for packets, and sends an error with the packet in it
// to whoever the sender says that it is.
std::string wire(const RulesetPlan& plan) {
  return fmt::format(
      R"(  chain wire {{
    type filter hook ingress device "{tap}" priority filter; policy drop;
    meta protocol arp accept
    ip saddr {theirs4} accept
    ip6 saddr {theirs6} accept
    {neighbours}
  }}
)",
      fmt::arg("tap", plan.tap), fmt::arg("theirs4", plan.addresses.theirs4),
      fmt::arg("theirs6", plan.addresses.theirs6),
      fmt::arg("neighbours", neighbours(plan.addresses)));
}

// Then, before anything looks at it as a connection's: what belongs to no connection goes; answers
// to what came in by a published port stay; then what it may begin: TCP, which the gateway gets
// wherever it was meant for, and questions for names. Metadata services and other link-local
// addresses are not even refused: they time out, as where there are none.
std::string arrive(const RulesetPlan& plan) {
  const LinkAddresses& at = plan.addresses;
  return fmt::format(
      R"(  chain arrive {{
    type filter hook prerouting priority mangle; policy accept;
    iif "{tap}" goto from_guest
    iif != "lo" ip daddr {net4}/30 drop
    iif != "lo" ip6 daddr {net6}/64 drop
  }}
  chain from_guest {{
    {neighbours}
    ct state invalid,untracked drop
    ct state established ct direction reply accept
    ip daddr {{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 }} drop
    ip6 daddr {{ ::/96, ::ffff:0:0/96, fd00:ec2::254, fe80::/10, ff00::/8 }} drop
    meta l4proto tcp accept
    udp dport 53 accept
    drop
  }}
)",
      fmt::arg("tap", plan.tap), fmt::arg("net4", at.net4), fmt::arg("net6", at.net6),
      fmt::arg("neighbours", neighbours(at)));
}

std::string turn_to(const std::string& tap, std::string_view family, const std::string& address,
                    const GatewayPorts& ports) {
  const std::string target = family == "ip" ? address : "[" + address + "]";
  const std::string_view nfproto = family == "ip" ? "ipv4" : "ipv6";
  return fmt::format(
      "    iif \"{0}\" meta nfproto {1} tcp dport 53 dnat {2} to {3}:{4}\n"
      "    iif \"{0}\" meta nfproto {1} udp dport 53 dnat {2} to {3}:{5}\n"
      "    iif \"{0}\" meta nfproto {1} meta l4proto tcp dnat {2} to {3}:{6}\n",
      tap, nfproto, family, target, ports.dns_tcp, ports.dns_udp, ports.tcp);
}

// And what comes for the namespace's own addresses, to the guest's.
std::string turn(const RulesetPlan& plan) {
  const LinkAddresses& at = plan.addresses;
  std::string rules = turn_to(plan.tap, "ip", at.ours4, plan.ipv4);
  if (plan.ipv6) rules += turn_to(plan.tap, "ip6", at.ours6, *plan.ipv6);
  rules += fmt::format(
      "    iif != {{ \"lo\", \"{0}\" }} meta pkttype host meta nfproto ipv4 "
      "meta l4proto {{ tcp, udp }} dnat ip to {1}\n",
      plan.tap, at.theirs4);
  if (plan.ipv6) {
    rules += fmt::format(
        "    iif != {{ \"lo\", \"{0}\" }} meta pkttype host meta nfproto ipv6 "
        "meta l4proto {{ tcp, udp }} dnat ip6 to {1}\n",
        plan.tap, at.theirs6);
  }
  return fmt::format(
      "  chain turn {{\n    type nat hook prerouting priority dstnat; policy accept;\n{}  }}\n",
      rules);
}

// Where it may end: at the gateway, having been turned there; at who was answered. The namespace is
// no router between its own networks either, now that it forwards. The gateway is kept from itself,
// which would go round for ever. And errors of the kernel's own, which have a packet in them, go to
// nobody outside, but those that a path's MTU is found with.
std::string end(const RulesetPlan& plan) {
  return fmt::format(
      R"(  chain enter {{
    type filter hook input priority filter; policy accept;
    iif "{tap}" goto enter_from_guest
  }}
  chain enter_from_guest {{
    {neighbours}
    ct status dnat meta l4proto {{ tcp, udp }} accept
    drop
  }}
  chain pass {{
    type filter hook forward priority filter; policy drop;
    oif "{tap}" ct status dnat accept
    iif "{tap}" ct state established ct direction reply accept
  }}
  chain leave {{
    type filter hook output priority filter; policy accept;
    meta skuid {gateway} ct state new ip daddr {net4}/30 reject
    meta skuid {gateway} ct state new ip6 daddr {net6}/64 reject
    oif != {{ "lo", "{tap}" }} icmpv6 type {errors} drop
    oif != {{ "lo", "{tap}" }} icmp type {{ time-exceeded, parameter-problem }} drop
  }}
)",
      fmt::arg("tap", plan.tap), fmt::arg("neighbours", neighbours(plan.addresses)),
      fmt::arg("gateway", plan.gateway), fmt::arg("net4", plan.addresses.net4),
      fmt::arg("net6", plan.addresses.net6),
      fmt::arg("errors", "{ destination-unreachable, time-exceeded, parameter-problem }"));
}

// The library is loaded by the few processes that need it, while they do: it and what it needs
// would cost every command of every container a millisecond and its monitor half a megabyte.
class Nftables {
 public:
  static Result<Nftables> load() {
    Nftables library;
    library.handle_.reset(::dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL));
    if (!library.handle_) {
      return fail(ErrorKind::unavailable,
                  fmt::format("libnftables is missing on this host: install libnftables1 ({})",
                              ::dlerror()));
    }
    const bool whole = library.find("nft_ctx_new", library.make_) &&
                       library.find("nft_ctx_free", library.free_) &&
                       library.find("nft_ctx_buffer_error", library.buffer_error_) &&
                       library.find("nft_ctx_get_error_buffer", library.error_) &&
                       library.find("nft_run_cmd_from_buffer", library.run_);
    if (!whole) return fail(ErrorKind::unavailable, "this libnftables is none that we know");
    return library;
  }

  Result<void> run(const std::string& text) const {
    const std::unique_ptr<nft_ctx, decltype(&::nft_ctx_free)> context(make_(NFT_CTX_DEFAULT),
                                                                      free_);
    if (!context) return fail(ErrorKind::internal, "libnftables does not start");
    (void)buffer_error_(context.get());
    if (run_(context.get(), text.c_str()) == 0) return {};
    std::string words;
    for (const std::string_view line : split(error_(context.get()), "\n")) {
      words.append(words.empty() ? "" : " | ").append(line);
    }
    return fail(ErrorKind::unavailable, fmt::format("nftables: {}", words));
  }

 private:
  struct Close {
    void operator()(void* handle) const { ::dlclose(handle); }
  };

  template <class Function>
  bool find(const char* name, Function*& function) {
    function = reinterpret_cast<Function*>(::dlsym(handle_.get(), name));
    return function != nullptr;
  }

  std::unique_ptr<void, Close> handle_;
  decltype(&::nft_ctx_new) make_ = nullptr;
  decltype(&::nft_ctx_free) free_ = nullptr;
  decltype(&::nft_ctx_buffer_error) buffer_error_ = nullptr;
  decltype(&::nft_ctx_get_error_buffer) error_ = nullptr;
  decltype(&::nft_run_cmd_from_buffer) run_ = nullptr;
};

}  // namespace

std::string make_ruleset(const RulesetPlan& plan) {
  return fmt::format("{}table inet agentvm {{\n{}{}{}{}}}\n", kReset, wire(plan), arrive(plan),
                     turn(plan), end(plan));
}

std::string make_ruleset_removal() {
  return kReset;
}

Result<void> apply_ruleset(const std::string& text) {
  const Nftables library = TRY(Nftables::load());
  return library.run(text);
}

}  // namespace agentvm::runtime
