// An image's /etc/passwd and /etc/group.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest-agent/docker.h"
#include "guest-agent/launch/environment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (agentvm::guest::home_in_passwd(bytes, 0).empty()) __builtin_trap();
  (void)agentvm::guest::group_in(bytes, "docker");
  return 0;
}
