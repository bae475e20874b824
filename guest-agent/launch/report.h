// What a child that sets itself up and the agent say to each other, over a SOCK_SEQPACKET pair that
// is CLOEXEC: that it ends after `executing` is how the agent learns of a successful execve(2).
//
//   child:  terminal (the pty's master travels along)? ready executing   or   failure at any point
//   agent:  go_on (one byte): once after the clone, once to release it
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::guest {

enum class ReportKind : std::uint8_t { terminal = 1, ready, executing, failure };

struct Report {
  ReportKind kind = ReportKind::failure;
  Error error;  // of a failure
};

inline constexpr std::size_t kLongestReport = 8192;
inline constexpr char kGoOn = 'g';

[[nodiscard]] std::string write_report(ReportKind kind);
// A message that is too long loses its middle.
[[nodiscard]] std::string write_failure(const Error& error);
// The door: kinds are closed, control characters of the text become '?'.
[[nodiscard]] Result<Report> parse_report(std::string_view bytes);

}  // namespace agentvm::guest
