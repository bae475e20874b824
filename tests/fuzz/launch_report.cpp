// What a container's child tells the agent over its socket.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest-agent/launch/report.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto report = agentvm::guest::parse_report(bytes);
  if (report && report->kind == agentvm::guest::ReportKind::failure) {
    if (!agentvm::guest::parse_report(agentvm::guest::write_failure(report->error)))
      __builtin_trap();
  }
  return 0;
}
