#include "runtime/timings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "oci/base/text.h"

namespace agentvm::runtime {

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr double kMillisecond = 1e6;

double ms_between(std::uint64_t from, std::uint64_t to) {
  return to < from ? 0.0 : static_cast<double>(to - from) / kMillisecond;
}

}  // namespace

std::uint64_t monotonic_ns() {
  std::timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kSecond + static_cast<std::uint64_t>(now.tv_nsec);
}

Timings::Timings() : begin_ns_(monotonic_ns()) {}

void Timings::mark(std::string name) {
  mark_at(std::move(name), monotonic_ns());
}

void Timings::mark_at(std::string name, std::uint64_t at_ns) {
  // In the order in which they happened.
  moments_.insert(std::ranges::upper_bound(moments_, at_ns, {}, &Moment::at_ns),
                  {std::move(name), at_ns});
}

// A line for each: the time, a blank, the name.
std::string Timings::encode() const {
  std::string out;
  for (const Moment& moment : moments_) out += fmt::format("{} {}\n", moment.at_ns, moment.name);
  return out;
}

Result<void> Timings::take(std::string_view encoded) {
  for (const std::string_view line : split(encoded, "\n")) {
    Moment moment;
    const auto [end, code] = std::from_chars(line.data(), line.data() + line.size(), moment.at_ns);
    if (code != std::errc() || end == line.data() + line.size() || *end != ' ') {
      return fail(ErrorKind::internal, "the monitor's timings are damaged");
    }
    moment.name = line.substr(static_cast<std::size_t>(end - line.data()) + 1);
    mark_at(std::move(moment.name), moment.at_ns);
  }
  return {};
}

std::string Timings::table() const {
  std::string out = fmt::format("{:>9}  {:>9}  {}\n", "AT MS", "TOOK MS", "STEP");
  std::uint64_t before = begin_ns_;
  for (const Moment& moment : moments_) {
    out += fmt::format("{:>9.1f}  {:>9.1f}  {}\n", ms_between(begin_ns_, moment.at_ns),
                       ms_between(before, moment.at_ns), moment.name);
    before = moment.at_ns;
  }
  return out;
}

}  // namespace agentvm::runtime
