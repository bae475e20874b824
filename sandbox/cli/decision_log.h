// A sandbox's decisions as its gateway has written them: decisions.jsonl and the rotated ones
// before it. The gateway has read what a guest sent: lines are parsed with limits, and printed so
// that they cannot steer a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::sandbox {

struct DecisionLine {
  std::string time;
  std::string host;
  std::uint16_t port = 0;
  std::string protocol;
  std::string method;
  std::string path;
  std::string verdict;
  std::string rule;
  std::string reason;
  std::vector<std::string> credentials;
};

[[nodiscard]] Result<DecisionLine> parse_decision(std::string_view line);
// "12:01:02 deny tls example.com:443 - no rule decides".
[[nodiscard]] std::string to_text(const DecisionLine& decision);

struct DecisionLogOrder {
  std::string directory;
  bool follow = false;  // until a signal
  bool json = false;
  bool only_denied = false;
};
[[nodiscard]] Result<void> print_decisions(const DecisionLogOrder& order);

}  // namespace agentvm::sandbox
