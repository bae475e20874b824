// A running sandbox's gateway, by its control socket: one JSON object per line each way. The
// gateway has read what a guest sent: its answers are read with limits and a deadline.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "sandbox/store/place.h"

namespace agentvm::sandbox {

struct UpdateAnswer {
  std::uint64_t rules = 0;
  std::uint64_t microseconds = 0;
};

struct CheckAnswer {
  std::string verdict;
  std::string reason;
  std::string rule;
  std::string layer;
};

struct CheckQuestion {
  std::string host;
  std::uint16_t port = 443;
  std::string method;
  std::string path;
};

// Nothing: no gateway runs. failed_precondition with the gateway's words when it refuses.
[[nodiscard]] Result<std::optional<UpdateAnswer>> push_update(const Place& place,
                                                              const std::string& sandbox,
                                                              std::string_view gateway_json,
                                                              std::string_view values_json);
[[nodiscard]] Result<std::optional<CheckAnswer>> ask_check(const Place& place,
                                                           const std::string& sandbox,
                                                           const CheckQuestion& question);

[[nodiscard]] Result<UpdateAnswer> parse_update_answer(std::string_view line);
[[nodiscard]] Result<CheckAnswer> parse_check_answer(std::string_view line);

}  // namespace agentvm::sandbox
