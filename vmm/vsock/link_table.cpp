#include "vmm/vsock/link_table.h"

#include <algorithm>

namespace agentvm::vmm::vsock {

namespace {

// Above the ports a service would listen on, as Firecracker does.
constexpr std::uint32_t kFirstPort = 1U << 30;
constexpr std::uint32_t kLastPort = (1U << 31) - 1;

constexpr std::uint32_t kWindow = 256U << 10;
constexpr std::uint32_t kSmallWindow = 16U << 10;
constexpr std::uint64_t kFullWindows = 32ULL << 20;  // as long as the sum stays below

}  // namespace

Link* LinkTable::find(const Ports& ports) const {
  const auto found = links_.find(key(ports));
  return found == links_.end() ? nullptr : found->second.get();
}

void LinkTable::insert(LinkRef link) {
  windows_ += link->protocol.window();
  const Key at = key(link->protocol.ports());
  links_.emplace(at, std::move(link));
}

void LinkTable::forget(Link& link) {
  LinkRef keep = link.shared_from_this();
  if (links_.erase(key(link.protocol.ports())) != 0) forgotten_.insert(std::move(keep));
}

void LinkTable::remove(Link& link) {
  const LinkRef keep = link.shared_from_this();
  std::size_t removed = forgotten_.erase(keep);
  const auto found = links_.find(key(link.protocol.ports()));
  if (removed == 0 && found != links_.end() && found->second == keep) {
    links_.erase(found);
    removed = 1;
  }
  if (removed != 0) windows_ -= link.protocol.window();
}

Link* LinkTable::find_lingering() const {
  const auto found = std::ranges::find_if(
      links_, [](const auto& entry) { return entry.second->protocol.is_lingering(); });
  return found == links_.end() ? nullptr : found->second.get();
}

Ports LinkTable::free_ports(std::uint32_t guest_port) {
  // Ends: there are more ports than links.
  for (;;) {
    last_port_ = last_port_ < kFirstPort || last_port_ >= kLastPort ? kFirstPort : last_port_ + 1;
    const Ports ports{.host = last_port_, .guest = guest_port};
    if (find(ports) == nullptr) return ports;
  }
}

std::uint32_t LinkTable::next_window() const {
  return windows_ + kWindow <= kFullWindows ? kWindow : kSmallWindow;
}

std::vector<LinkRef> LinkTable::all() const {
  std::vector<LinkRef> links(forgotten_.begin(), forgotten_.end());
  for (const auto& [ports, link] : links_) links.push_back(link);
  return links;
}

}  // namespace agentvm::vmm::vsock
