// config.json of a bundle: what parses must write and parse back to the same value.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/spec_parser.h"
#include "oci/spec_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto spec = agentvm::oci::parse_spec({reinterpret_cast<const char*>(data), size});
  if (!spec) return 0;
  spec->unknown_members.clear();
  const auto again = agentvm::oci::parse_spec(agentvm::oci::write_spec(*spec));
  if (again != *spec) std::abort();
  return 0;
}
