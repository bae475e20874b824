// All links of the device: found by ports, bounded in number and in the memory they may claim.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "vmm/vsock/link.h"

namespace agentvm::vmm::vsock {

inline constexpr std::size_t kMaxLinks = 1024;

class LinkTable {
 public:
  // nullptr when there is none; a forgotten link is none.
  [[nodiscard]] Link* find(const Ports& ports) const;
  // The caller made sure of !is_full() and !find(its ports).
  void insert(LinkRef link);
  // The guest may use these ports again; the link stays, and counts, until remove().
  void forget(Link& link);
  void remove(Link& link);
  [[nodiscard]] bool is_full() const { return links_.size() + forgotten_.size() >= kMaxLinks; }
  // A link whose client is gone and whose guest does not answer; nullptr when there is none.
  [[nodiscard]] Link* find_lingering() const;

  // A host port for a connection to `guest_port`. Only with !is_full().
  [[nodiscard]] Ports free_ports(std::uint32_t guest_port);
  // The window (buf_alloc) for one more link: smaller when many are open, so that the backlogs of
  // all links together stay within bounds.
  [[nodiscard]] std::uint32_t next_window() const;

  // Every link, forgotten ones too: a copy, so that the caller may remove them.
  [[nodiscard]] std::vector<LinkRef> all() const;

 private:
  using Key = std::pair<std::uint32_t, std::uint32_t>;
  static Key key(const Ports& ports) { return {ports.host, ports.guest}; }

  std::map<Key, LinkRef> links_;
  std::set<LinkRef> forgotten_;
  std::uint64_t windows_ = 0;
  std::uint32_t last_port_ = 0;
};

}  // namespace agentvm::vmm::vsock
