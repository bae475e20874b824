// What this host can do for agentvm, and what to do about what it cannot: `agentvm check`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/config.h"

namespace agentvm::runtime {

enum class CheckVerdict : std::uint8_t {
  good,
  note,    // works, with less than could be
  failed,  // no container can run
};

struct CheckItem {
  std::string name;  // "accelerator"
  CheckVerdict verdict = CheckVerdict::good;
  std::string finding;  // one sentence
  std::string remedy;   // what to do; empty when nothing needs doing
};

[[nodiscard]] std::string_view name_of(CheckVerdict verdict);

// In the order in which a reader wants them. Changes nothing on the host but the probe's cache.
[[nodiscard]] std::vector<CheckItem> check_host(const Config& config);

}  // namespace agentvm::runtime
