#include "oci/spec_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace agentvm::oci::check {

namespace {

constexpr std::string_view kDigits = "0123456789";

bool only(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == text.npos;
}

// One name of a directory, no step out of it.
bool is_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos;
}

bool has_dot_dot(std::string_view path) {
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (path.substr(0, slash) == "..") return true;
    if (slash == path.npos) break;
    path.remove_prefix(slash + 1);
  }
  return false;
}

// "net.ipv4.ip_forward" or with slashes; an interface name in it may have what file names have.
bool is_sysctl_name(std::string_view name) {
  if (name.empty() || name.front() == '.' || name.front() == '/') return false;
  if (name.back() == '.' || name.back() == '/') return false;
  const auto doubled = [](char a, char b) {
    return (a == '.' || a == '/') && (b == '.' || b == '/');
  };
  if (std::ranges::adjacent_find(name, doubled) != name.end()) return false;
  return std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f; });
}

template <class Map, class Holds>
std::string_view every_name(const Map& map, Holds holds, std::string_view wrong) {
  const bool fine = std::ranges::all_of(map, [&](const auto& item) { return holds(item.first); });
  return fine ? std::string_view() : wrong;
}

std::string_view unless(bool holds, std::string_view wrong) {
  return holds ? std::string_view() : wrong;
}

}  // namespace

std::string OneOf::operator()(const std::string& text) const {
  if (is_word(words, text)) return {};
  return fmt::format("expected one of {}", fmt::join(words, ", "));
}

std::string Between::outside() const {
  if (most == std::numeric_limits<std::int64_t>::max()) {
    return fmt::format("must be at least {}", least);
  }
  return fmt::format("must be between {} and {}", least, most);
}

std::string_view not_empty(const std::string& text) {
  return unless(!text.empty(), "must not be empty");
}

std::string_view at_least_one(const std::vector<std::string>& list) {
  return unless(!list.empty(), "must have at least one entry");
}

std::string_view absolute_path(const std::string& path) {
  return unless(path.starts_with('/'), "must be an absolute path");
}

std::string_view absolute_path_or_none(const std::string& path) {
  return path.empty() ? std::string_view() : absolute_path(path);
}

std::string_view environment(const std::string& entry) {
  const auto equals = entry.find('=');
  return unless(equals != 0 && equals != entry.npos, "must be NAME=value");
}

std::string_view cpu_list(const std::string& list) {
  return unless(only(list, "0123456789-,"), "must be a list like 0-3,7");
}

std::string_view device_access(const std::string& access) {
  return unless(only(access, "rwm") && access.size() <= 3, "must be made of r, w and m");
}

std::string_view page_size(const std::string& size) {
  const auto unit = size.find_first_not_of(kDigits);
  const bool fine = unit != size.npos && unit > 0 && size.front() != '0' &&
                    is_word(std::array<std::string_view, 3>{"KB", "MB", "GB"}, size.substr(unit));
  return unless(fine, "must be a size like 64KB, 2MB or 1GB");
}

std::string_view cgroups_path(const std::string& path) {
  return unless(!has_dot_dot(path), "must not have a .. in it");
}

std::string_view host_name(const std::string& name) {
  constexpr std::size_t kLongest = 64;
  return unless(name.size() <= kLongest, "must have at most 64 bytes");
}

std::string_view clos_id(const std::string& id) {
  return unless(id.empty() || is_file_name(id), "must be a file name");
}

std::string_view memory_schema(const std::string& schema) {
  const bool fine =
      schema.empty() || (schema.starts_with("MB:") && schema.find('\n') == schema.npos);
  return unless(fine, "must start with MB: and be one line");
}

std::string_view no_flags(const std::vector<std::string>& flags) {
  return unless(flags.empty(), "no flags are defined");
}

std::string_view block_weight(std::uint16_t weight) {
  return unless(weight == 0 || (weight >= 10 && weight <= 1000), "must be between 10 and 1000");
}

std::string_view sysctl_names(const std::map<std::string, std::string>& sysctl) {
  return every_name(sysctl, is_sysctl_name, "each name must be like net.ipv4.ip_forward");
}

std::string_view cgroup_files(const std::map<std::string, std::string>& unified) {
  const auto is_control_file = [](std::string_view name) {
    return is_file_name(name) && name.find('.') != name.npos;
  };
  return every_name(unified, is_control_file, "each name must be a file name like memory.high");
}

std::string_view clocks(const std::map<std::string, TimeOffset>& offsets) {
  const auto is_clock = [](std::string_view name) {
    return name == "monotonic" || name == "boottime";
  };
  return every_name(offsets, is_clock, "the clocks are monotonic and boottime");
}

std::string_view annotation_names(const std::map<std::string, std::string>& annotations) {
  return unless(!annotations.contains(""), "a name must not be empty");
}

}  // namespace agentvm::oci::check
