// An image's /etc/passwd.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest-agent/launch/environment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (agentvm::guest::home_in_passwd(bytes, 0).empty()) __builtin_trap();
  return 0;
}
