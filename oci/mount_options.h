// The options of one mount (runtime-spec config.md, "Linux mount options", and runc's list): which
// are flags of mount(2), which change propagation, which are mount_setattr(2) attributes for the
// whole tree, and which are for the file system. A later option wins over an earlier one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::oci {

struct MountOptions {
  unsigned long flags = 0;    // MS_*, MS_BIND and MS_REC included
  unsigned long cleared = 0;  // MS_* asked to be off ("rw", "exec"); disjoint from flags

  // MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE, each with MS_REC or not, in the order given:
  // one mount(2) each after the mount is made.
  std::vector<unsigned long> propagation;

  // MOUNT_ATTR_* for mount_setattr(2) with AT_RECURSIVE ("rro"); nothing to do when both are 0.
  std::uint64_t recursive_set = 0;
  std::uint64_t recursive_clear = 0;

  std::string data;  // the rest, joined by commas: mount(2)'s last argument

  bool tmpcopyup = false;        // runc's: a tmpfs starts with what the image has there
  bool idmap = false;            // by the mount's own or the container's mappings
  bool recursive_idmap = false;  // implies idmap

  [[nodiscard]] bool bind() const;
  [[nodiscard]] bool recursive_bind() const;
  [[nodiscard]] bool read_only() const;
  friend bool operator==(const MountOptions&, const MountOptions&) = default;
};

// invalid_argument when the data would not fit the page that mount(2) copies.
[[nodiscard]] Result<MountOptions> parse_mount_options(std::span<const std::string> options);

// Every option that is not passed on as data, sorted: for the features document.
[[nodiscard]] std::vector<std::string_view> known_mount_options();

}  // namespace agentvm::oci
