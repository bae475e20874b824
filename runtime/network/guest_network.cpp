#include "runtime/network/guest_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "rpc/payload.h"
#include "runtime/network/name_relay.h"
#include "runtime/network/redirect.h"
#include "vmm/slots.h"

namespace agentvm::runtime {

GuestNetwork::GuestNetwork(vmm::LiveMachine& machine, std::shared_ptr<rpc::AgentClient> agent,
                           GuestLink link)
    : machine_(machine), agent_(std::move(agent)), link_(link) {}

Task<void> GuestNetwork::attach() {
  netlink_ = CO_TRY(open_netlink());
  // Before the first look, so that no change after it is missed.
  watch_ = CO_TRY(NetworkWatch::open());
  const auto scan = CO_TRY(scan_network(netlink_.get()));
  CO_TRY(check_untaken(scan));
  if (scan.interfaces.size() > vmm::kNicSlots) {
    co_return fail(ErrorKind::failed_precondition,
                   fmt::format("it has {} network interfaces, and a VM has places for {}",
                               scan.interfaces.size(), vmm::kNicSlots));
  }
  auto applied = co_await apply(scan);
  CO_TRY(std::move(applied), "give the guest its network");
  co_return Result<void>{};
}

asio::awaitable<void> GuestNetwork::follow() {
  for (;;) {
    if (auto changed = co_await watch_->wait_change(); !changed || parted_) co_return;
    if (auto applied = co_await look_again(); !applied && !parted_) {
      log::warning("the guest's network does not follow its namespace: {}", applied.error().text());
    }
  }
}

Task<void> GuestNetwork::look_again() {
  const auto scan = CO_TRY(scan_network(netlink_.get()));
  co_return co_await apply(scan);
}

void GuestNetwork::part() {
  parted_ = true;
  for (const Joined& joined : joined_) part_interface(netlink_.get(), joined.index);
  joined_.clear();
}

Task<void> GuestNetwork::apply(const NetworkScan& scan) {
  auto plugged = co_await plug_new(scan);
  CO_TRY(std::move(plugged));
  CO_TRY(find_resolver());
  auto told = co_await tell_guest(scan);
  CO_TRY(std::move(told));
  co_return co_await unplug_gone(scan);
}

unsigned GuestNetwork::free_slot() const {
  unsigned slot = vmm::kFirstNicSlot;
  while (std::ranges::find(joined_, slot, &Joined::slot) != joined_.end()) ++slot;
  return slot;
}

Task<void> GuestNetwork::join(const SeenInterface& interface) {
  const unsigned slot = free_slot();
  if (slot == vmm::kFirstNicSlot + vmm::kNicSlots) {
    co_return fail(ErrorKind::failed_precondition, "the VM has no place left for it");
  }
  auto tap = CO_TRY(join_interface(netlink_.get(), interface));
  joined_.push_back({interface.index, tap.index, slot});
  Result<void> plugged;
  if (resolver_) plugged = admit_resolver(netlink_.get(), interface.index, tap.index);
  if (plugged) {
    vmm::Nic nic{slot, interface.guest.mac(), interface.guest.mtu(), std::move(tap.fd)};
    plugged = co_await machine_.plug_nic(std::move(nic));
  }
  if (plugged) co_return Result<void>{};
  part_interface(netlink_.get(), interface.index);
  std::erase_if(joined_, [&](const Joined& joined) { return joined.index == interface.index; });
  co_return plugged;
}

Task<void> GuestNetwork::plug_new(const NetworkScan& scan) {
  for (const SeenInterface& interface : scan.interfaces) {
    if (parted_) break;
    if (std::ranges::find(joined_, interface.index, &Joined::index) != joined_.end()) continue;
    auto done = co_await join(interface);
    CO_TRY(std::move(done), "interface '{}'", interface.guest.name());
  }
  co_return Result<void>{};
}

// It may come with a network that is connected later.
Result<void> GuestNetwork::find_resolver() {
  if (resolver_ || joined_.empty() || !has_resolver()) return {};
  TRY(reserve_resolver_ports(), "make room for the resolver");
  for (const Joined& joined : joined_) {
    TRY(admit_resolver(netlink_.get(), joined.index, joined.tap));
  }
  resolver_ = true;
  return {};
}

Task<void> GuestNetwork::tell_guest(const NetworkScan& scan) {
  agent::v1::SetNetworkRequest request;
  for (const SeenInterface& seen : scan.interfaces) {
    const auto joined = std::ranges::find(joined_, seen.index, &Joined::index);
    if (joined == joined_.end()) continue;
    auto& interface = *request.add_interfaces();
    interface = seen.guest;
    interface.set_slot(joined->slot);
  }
  for (const auto& route : scan.routes) *request.add_routes() = route;
  for (const auto& neighbour : scan.neighbours) *request.add_neighbours() = neighbour;
  std::string telling = rpc::serialize(request);
  if (telling == told_ && names_ == resolver_) co_return Result<void>{};
  if (resolver_ && !names_) {
    auto opened = co_await open_names(link_, docker_resolver());
    request.set_name_stream(CO_TRY(std::move(opened)));
  }
  auto answer = co_await agent_->set_network(request, link_.timeout);
  CO_TRY(std::move(answer));
  told_ = std::move(telling);
  names_ = resolver_;
  co_return Result<void>{};
}

Task<void> GuestNetwork::unplug_gone(const NetworkScan& scan) {
  for (std::size_t i = 0; i < joined_.size();) {
    const Joined joined = joined_[i];
    if (std::ranges::find(scan.interfaces, joined.index, &SeenInterface::index) !=
        scan.interfaces.end()) {
      ++i;
      continue;
    }
    joined_.erase(joined_.begin() + static_cast<std::ptrdiff_t>(i));
    part_interface(netlink_.get(), joined.index);
    auto unplugged = co_await machine_.unplug_nic(joined.slot);
    CO_TRY(std::move(unplugged), "unplug a network interface");
  }
  co_return Result<void>{};
}

}  // namespace agentvm::runtime
