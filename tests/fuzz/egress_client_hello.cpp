// A TLS client's first message: the name in what parses is a name.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "egress/client_hello.h"
#include "egress/host.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace agentvm::egress;
  const auto hello = parse_client_hello({reinterpret_cast<const char*>(data), size});
  if (!hello || !*hello || (*hello)->server_name.empty()) return 0;
  if (parse_host_name((*hello)->server_name) != (*hello)->server_name) std::abort();
  return 0;
}
