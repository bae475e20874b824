// The process object that `exec --process` reads.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/spec_parser.h"
#include "oci/spec_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto process = agentvm::oci::parse_process({reinterpret_cast<const char*>(data), size});
  if (!process) return 0;
  const auto again = agentvm::oci::parse_process(agentvm::oci::write_process(*process));
  if (again != *process) std::abort();
  return 0;
}
