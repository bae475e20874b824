// What QEMU says on its control socket.
#include "vmm/qmp_message.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const auto message = agentvm::vmm::parse_qmp_message(line);
  if (!message && message.error().kind != agentvm::ErrorKind::invalid_argument) __builtin_trap();
  return 0;
}
