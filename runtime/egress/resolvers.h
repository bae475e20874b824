// Which DNS servers a bound container's namespace is to use. They come from the engine's file and
// never from the guest: whoever chooses the resolver chooses what an allowed name leads to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::runtime {

// The nameservers of a resolv.conf(5), at most eight. Link-local ones, which need an interface, are
// left out, and so are lines that make no sense.
[[nodiscard]] std::vector<std::string> parse_resolvers(std::string_view text);

// Those of the host's file `path`; none when there is none. At most 64 KiB of it.
[[nodiscard]] Result<std::vector<std::string>> load_resolvers(const std::string& path);

// The host's file that the spec mounts at /etc/resolv.conf, "" when it mounts none, from now on
// read-only: what a guest wrote there would count when it is started again.
[[nodiscard]] std::string take_resolv_conf(oci::Spec& spec, const std::string& bundle);

}  // namespace agentvm::runtime
