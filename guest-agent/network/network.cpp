#include "guest-agent/network/network.h"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <vector>

#include "guest-agent/modules.h"
#include "guest-agent/pci_slot.h"
#include "oci/base/try.h"
#include "rpc/payload.h"

namespace agentvm::guest {

namespace {

constexpr std::size_t kMacBytes = 6;

template <class M>
using List = google::protobuf::RepeatedPtrField<M>;

// What `list` has and `other` has not.
template <class M>
std::vector<M> missing(const List<M>& list, const List<M>& other) {
  std::vector<M> found;
  for (const M& entry : list) {
    const std::string bytes = rpc::serialize(entry);
    if (std::ranges::none_of(other, [&](const M& o) { return rpc::serialize(o) == bytes; })) {
      found.push_back(entry);
    }
  }
  return found;
}

const agent::v1::NetworkInterface* find_slot(const List<agent::v1::NetworkInterface>& interfaces,
                                             std::uint32_t slot) {
  const auto found = std::ranges::find_if(
      interfaces, [&](const auto& interface) { return interface.slot() == slot; });
  return found == interfaces.end() ? nullptr : &*found;
}

bool has_interface(const agent::v1::SetNetworkRequest& network, const std::string& name) {
  return std::ranges::any_of(network.interfaces(),
                             [&](const auto& interface) { return interface.name() == name; });
}

Result<void> check(const agent::v1::NetworkInterface& interface) {
  const std::string& name = interface.name();
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == ".." ||
      name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
    return fail(ErrorKind::invalid_argument, "this is no name of an interface");
  }
  if (interface.mac().size() != kMacBytes) {
    return fail(ErrorKind::invalid_argument, "a MAC address has six bytes");
  }
  return {};
}

}  // namespace

// Their addresses and routes go with them.
Result<void> Network::let_go(const agent::v1::SetNetworkRequest& wanted) {
  for (const auto& interface : now_.interfaces()) {
    if (find_slot(wanted.interfaces(), interface.slot()) != nullptr) continue;
    const PciSlot slot = TRY(PciSlot::open(interface.slot()));
    TRY(slot.remove());
    TRY(slot.power_off());
  }
  return {};
}

Result<void> Network::take(const agent::v1::NetworkInterface& interface) {
  const PciSlot slot = TRY(PciSlot::open(interface.slot()));
  TRY(slot.power_on());
  const bool plugged = TRY(slot.look());
  if (!plugged) return fail(ErrorKind::unavailable, "its network card was not plugged");
  const std::string kernel_name = TRY(slot.network_interface());
  return links_->bring_up(kernel_name, interface);
}

Result<void> Network::set_addresses(const agent::v1::NetworkInterface& interface) {
  const auto* before = find_slot(now_.interfaces(), interface.slot());
  const agent::v1::NetworkInterface fresh;
  if (before == nullptr) before = &fresh;
  for (const auto& gone : missing(before->addresses(), interface.addresses())) {
    TRY(links_->remove(interface.name(), gone));
  }
  for (const auto& added : missing(interface.addresses(), before->addresses())) {
    TRY(links_->add(interface.name(), added));
  }
  return {};
}

Result<void> Network::set_routes(const agent::v1::SetNetworkRequest& wanted) {
  for (const auto& gone : missing(now_.routes(), wanted.routes())) {
    if (has_interface(wanted, gone.interface())) TRY(links_->remove(gone));
  }
  // Those that say how a gateway is reached before those that go through one.
  auto added = missing(wanted.routes(), now_.routes());
  std::ranges::partition(added, [](const auto& route) { return route.gateway().empty(); });
  for (const auto& route : added) TRY(links_->add(route));
  return {};
}

Result<void> Network::set_neighbours(const agent::v1::SetNetworkRequest& wanted) {
  for (const auto& gone : missing(now_.neighbours(), wanted.neighbours())) {
    if (has_interface(wanted, gone.interface())) TRY(links_->remove(gone));
  }
  for (const auto& added : missing(wanted.neighbours(), now_.neighbours())) {
    TRY(links_->add(added));
  }
  return {};
}

Result<void> Network::set(const agent::v1::SetNetworkRequest& request) {
  if (!links_) {
    TRY(load_module("virtio_net"));
    links_ = TRY(Links::open());
  }
  for (const auto& interface : request.interfaces()) TRY(check(interface));
  TRY(let_go(request));
  for (const auto& interface : request.interfaces()) {
    const auto* before = find_slot(now_.interfaces(), interface.slot());
    if (before == nullptr) TRY(take(interface), "interface '{}'", interface.name());
    if (before != nullptr && before->mtu() != interface.mtu()) TRY(links_->set_mtu(interface));
    TRY(set_addresses(interface));
  }
  TRY(set_routes(request));
  TRY(set_neighbours(request));
  now_ = request;
  if (request.name_stream() != 0) {
    auto stream = TRY(streams_.claim(request.name_stream()));
    names_ = TRY(Names::create(executor_, std::move(stream)));
  }
  return {};
}

}  // namespace agentvm::guest
