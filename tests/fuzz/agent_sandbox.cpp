// What the runtime reads of an agent sandbox: the heads of its files, the marker of a bundle, and a
// resolv.conf, of which nothing but addresses may come out.
#include <arpa/inet.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/spec_parser.h"
#include "runtime/egress/marker.h"
#include "runtime/egress/resolvers.h"
#include "runtime/egress/settings.h"

using namespace agentvm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)runtime::parse_settings_head(bytes);
  (void)runtime::parse_sandbox_machine(bytes);
  const auto resolvers = runtime::parse_resolvers(bytes);
  if (resolvers.size() > 8) std::abort();
  for (const std::string& resolver : resolvers) {
    std::array<unsigned char, 16> address;
    if (::inet_pton(AF_INET, resolver.c_str(), address.data()) != 1 &&
        ::inet_pton(AF_INET6, resolver.c_str(), address.data()) != 1) {
      std::abort();
    }
  }
  if (auto spec = oci::parse_spec(bytes)) {
    const auto name = runtime::find_sandbox_name(*spec);
    // It becomes a part of a path.
    if (name && !name->empty() && !runtime::is_sandbox_name(*name)) std::abort();
    (void)runtime::take_resolv_conf(*spec, "/bundle");
  }
  return 0;
}
