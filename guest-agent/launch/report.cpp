#include "guest-agent/launch/report.h"

#include <algorithm>
#include <cstring>

namespace agentvm::guest {

namespace {

// kind, Error::kind, errno (native, both ends are one program), text.
constexpr std::size_t kHead = 2 + sizeof(std::int32_t);
constexpr std::size_t kLongestText = kLongestReport - kHead;

std::string shortened(const std::string& text) {
  if (text.size() <= kLongestText) return text;
  constexpr std::string_view kGap = " ... ";
  constexpr std::size_t kPart = (kLongestText - kGap.size()) / 2;
  return text.substr(0, kPart).append(kGap).append(text, text.size() - kPart);
}

}  // namespace

std::string write_report(ReportKind kind) {
  return std::string(1, static_cast<char>(kind));
}

std::string write_failure(const Error& error) {
  std::string bytes = write_report(ReportKind::failure);
  bytes += static_cast<char>(error.kind);
  const auto errnum = static_cast<std::int32_t>(error.errnum);
  bytes.append(reinterpret_cast<const char*>(&errnum), sizeof errnum);
  return bytes + shortened(error.message);
}

Result<Report> parse_report(std::string_view bytes) {
  const auto malformed = [] { return fail(ErrorKind::internal, "malformed report of a child"); };
  if (bytes.empty() || bytes.size() > kLongestReport) return malformed();
  const auto kind = static_cast<ReportKind>(bytes[0]);
  switch (kind) {
    case ReportKind::terminal:
    case ReportKind::ready:
    case ReportKind::executing:
      if (bytes.size() != 1) return malformed();
      return Report{kind, {}};
    case ReportKind::failure:
      break;
    default:
      return malformed();
  }
  if (bytes.size() < kHead) return malformed();
  const auto error_kind = static_cast<unsigned char>(bytes[1]);
  if (error_kind > static_cast<unsigned char>(ErrorKind::internal)) return malformed();
  std::int32_t errnum = 0;
  std::memcpy(&errnum, bytes.data() + 2, sizeof errnum);
  if (errnum < 0) return malformed();
  Report report{kind, {static_cast<ErrorKind>(error_kind), errnum, std::string()}};
  report.error.message = bytes.substr(kHead);
  std::ranges::replace_if(
      report.error.message, [](char c) { return static_cast<unsigned char>(c) < ' '; }, '?');
  return report;
}

}  // namespace agentvm::guest
