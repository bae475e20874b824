// The resources object that `update --resources` reads.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/spec_parser.h"
#include "oci/spec_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto resources = agentvm::oci::parse_resources({reinterpret_cast<const char*>(data), size});
  if (!resources) return 0;
  const auto again = agentvm::oci::parse_resources(agentvm::oci::write_resources(*resources));
  if (again != *resources) std::abort();
  return 0;
}
