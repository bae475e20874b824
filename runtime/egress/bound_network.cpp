#include "runtime/egress/bound_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "rpc/names.h"
#include "runtime/egress/control_socket.h"
#include "runtime/egress/log_directory.h"
#include "runtime/egress/resolvers.h"
#include "runtime/network/name_relay.h"
#include "runtime/network/other_namespace.h"
#include "vmm/slots.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kGuestInterface = "eth0";

std::string bytes_of(const std::string& address) {
  std::array<char, sizeof(in6_addr)> bytes{};
  if (::inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) return {bytes.data(), 4};
  (void)::inet_pton(AF_INET6, address.c_str(), bytes.data());
  return {bytes.data(), bytes.size()};
}

// One that nobody made (IEEE 802, locally administered), of a single station.
std::string random_mac() {
  std::string mac = sys::random_bytes(6);
  mac[0] = static_cast<char>((static_cast<unsigned char>(mac[0]) & 0xfc) | 0x02);
  return mac;
}

void add_address(agent::v1::NetworkInterface& interface, const std::string& text,
                 std::uint32_t bits) {
  auto& address = *interface.add_addresses();
  address.set_address(bytes_of(text));
  address.set_prefix_length(bits);
}

void add_default_route(agent::v1::SetNetworkRequest& request, const std::string& gateway) {
  auto& route = *request.add_routes();
  route.set_interface(kGuestInterface);
  route.set_gateway(bytes_of(gateway));
  route.set_destination(std::string(route.gateway().size(), '\0'));
}

agent::v1::SetNetworkRequest describe(const SandboxLink& link, const std::string& mac) {
  agent::v1::SetNetworkRequest request;
  auto& interface = *request.add_interfaces();
  interface.set_slot(vmm::kFirstNicSlot);
  interface.set_name(kGuestInterface);
  interface.set_mac(mac);
  interface.set_mtu(link.mtu);
  interface.set_ipv6(link.ipv6);
  add_address(interface, link.addresses.theirs4, 30);
  add_default_route(request, link.addresses.ours4);
  if (!link.ipv6) return request;
  add_address(interface, link.addresses.theirs6, 64);
  add_default_route(request, link.addresses.ours6);
  return request;
}

// Once the guest has been cut off.
void undo(const EgressRecord& changed) {
  remove_dead_socket(changed.control_socket);
  restore_forwarding({changed.forwarded_ipv4, changed.forwarded_ipv6});
  if (auto removed = apply_ruleset(make_ruleset_removal()); !removed) {
    log::warning("agent sandbox '{}': {}", changed.sandbox, removed.error().text());
  }
}

}  // namespace

BoundNetwork::BoundNetwork(vmm::LiveMachine& machine, std::shared_ptr<rpc::AgentClient> agent,
                           GuestLink link, BoundOrder order)
    : machine_(machine), agent_(std::move(agent)), guest_(link), order_(std::move(order)) {}

Task<void> BoundNetwork::attach() {
  CO_TRY(make_way(), "agent sandbox '{}'", order_.sandbox.name);
  auto order = CO_TRY(order_gateway());
  auto started = co_await Gateway::start(std::move(order), guest_.timeout);
  gateway_ = CO_TRY(std::move(started), "agent sandbox '{}'", order_.sandbox.name);
  auto plugged = co_await plug();
  CO_TRY(std::move(plugged), "give the guest its network");
  co_return Result<void>{};
}

// Everything that stands between the guest and the world, and where the gateway will listen.
Result<void> BoundNetwork::make_way() {
  netlink_ = TRY(open_netlink());
  const auto scan = TRY(scan_network(netlink_.get()));
  TRY(check_untaken(scan));
  link_ = std::make_unique<SandboxLink>(TRY(make_link(netlink_.get(), scan)));
  TRY(write_down());
  sockets_.push_back(TRY(open_gateway_sockets(link_->addresses.ours4)));
  ports_ = sockets_.front().ports;
  RulesetPlan plan{link_->name, link_->addresses, ports_, {}, gateway_uid(::getpid())};
  if (link_->ipv6) {
    sockets_.push_back(TRY(open_gateway_sockets(link_->addresses.ours6)));
    plan.ipv6 = sockets_.back().ports;
  }
  TRY(apply_ruleset(make_ruleset(plan)));
  return begin_forwarding(link_->ipv6);
}

Result<void> BoundNetwork::write_down() {
  const Forwarding before = read_forwarding();
  EgressRecord changes{order_.sandbox.name,
                       control_socket_path(order_.config->sandbox, order_.sandbox.name),
                       before.ipv4, before.ipv6};
  TRY(order_.record(changes));
  changed_ = std::move(changes);
  return {};
}

Result<GatewayOrder> BoundNetwork::order_gateway() {
  const SandboxConfig& config = order_.config->sandbox;
  const std::string& name = order_.sandbox.name;
  GatewayOrder order;
  order.sandbox = name;
  order.program = TRY(find_gateway(*order_.config));
  order.jail = order_.config->security.jail == JailChoice::on;
  order.uid = gateway_uid(::getpid());
  order.files = TRY(open_sandbox_files(config, name, order_.container));
  order.authorities = open_authorities();
  order.control = TRY(listen_for_control(config, name), "agent sandbox '{}'", name);
  order.log_directory =
      TRY(take_log_directory(config.directory + "/" + name, order.jail ? order.uid : 0),
          "agent sandbox '{}'", name);
  order.sockets = std::exchange(sockets_, {});
  order.resolvers = TRY(load_resolvers(order_.sandbox.resolv_conf));
  names_ = std::ranges::find(order.resolvers, rpc::kResolverName) != order.resolvers.end();
  order.ipv6 = reaches_ipv6();
  return order;
}

Task<void> BoundNetwork::plug() {
  mac_ = random_mac();
  vmm::Nic nic{vmm::kFirstNicSlot, mac_, link_->mtu, std::move(link_->tap.fd)};
  auto plugged = co_await machine_.plug_nic(std::move(nic));
  CO_TRY(std::move(plugged));
  co_return co_await tell_guest();
}

// Docker's resolver is at an address of the namespace that the guest takes for its own: what it
// asks there goes to the gateway, as every other question.
Task<void> BoundNetwork::tell_guest() {
  agent::v1::SetNetworkRequest request = describe(*link_, mac_);
  if (names_) {
    const NameServer gateway{link_->addresses.ours4, ports_.dns_udp, ports_.dns_tcp};
    auto stream = co_await open_names(guest_, gateway);
    request.set_name_stream(CO_TRY(std::move(stream)));
  }
  auto answer = co_await agent_->set_network(request, guest_.timeout);
  CO_TRY(std::move(answer));
  co_return Result<void>{};
}

asio::awaitable<void> BoundNetwork::follow() {
  const auto end = co_await gateway_->wait_end();
  if (parted_ || !end) co_return;
  log::warning("agent sandbox '{}': its gateway {}: it has no network until it is started again",
               order_.sandbox.name, describe_wait_status(*end));
}

void BoundNetwork::part() {
  if (std::exchange(parted_, true)) return;
  // In this order: the guest goes while everything still stands in its way.
  if (link_) remove_link(netlink_.get(), link_->tap.index);
  if (gateway_) gateway_->end();
  if (changed_) undo(*changed_);
}

void release_bound_network(const EgressRecord& changed, const std::string& network_namespace) {
  remove_dead_socket(changed.control_socket);
  if (network_namespace.empty()) return;
  in_network_namespace(network_namespace, [&] {
    const auto netlink = open_netlink();
    if (!netlink) return;
    const auto scan = scan_network(netlink->get());
    if (scan && !scan->taken) undo(changed);
  });
}

}  // namespace agentvm::runtime
