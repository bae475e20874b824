#include "sandbox/cli/sizes.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace agentvm::sandbox {

namespace {

constexpr std::string_view kUnits = "bkmgt";
constexpr std::array<std::string_view, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
constexpr std::uint64_t kMost = std::uint64_t{1} << 50;

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, number);
  std::string unit(rest, end);
  for (char& c : unit) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (unit.ends_with("ib") && unit.size() == 3) unit.resize(1);
  if (unit.size() == 2 && unit[1] == 'b') unit.resize(1);
  const std::size_t power = unit.empty() ? 0 : kUnits.find(unit[0]);
  const bool fine = code == std::errc() && unit.size() <= 1 && power != std::string_view::npos;
  const double bytes = fine ? number * static_cast<double>(std::uint64_t{1} << (10 * power)) : -1;
  if (!(bytes >= 0 && bytes <= static_cast<double>(kMost))) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("'{}' is no size: a number with b, k, m, g or t", text));
  }
  return static_cast<std::uint64_t>(bytes);
}

std::string size_text(std::uint64_t bytes) {
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : 1, kNames[unit]);
}

}  // namespace agentvm::sandbox
