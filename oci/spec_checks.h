// What the specification asks of single members beyond their type: the third column of the field
// lists (spec_fields*.h). Each returns what is wrong, or "" (json_fields.h).
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oci/spec.h"
#include "oci/spec_words.h"

namespace agentvm::oci::check {

struct OneOf {
  Words words;
  std::string operator()(const std::string& text) const;
};

// The empty word is the same as none.
struct OneOfOrNone {
  Words words;
  std::string operator()(const std::string& text) const {
    return text.empty() ? text : OneOf{words}(text);
  }
};

// Inclusive.
struct Between {
  std::int64_t least;
  std::int64_t most;
  template <std::integral T>
  std::string operator()(T value) const {
    const bool inside = std::cmp_less_equal(least, value) && std::cmp_less_equal(value, most);
    return inside ? std::string() : outside();
  }

 private:
  [[nodiscard]] std::string outside() const;
};

std::string_view not_empty(const std::string& text);
std::string_view at_least_one(const std::vector<std::string>& list);
std::string_view absolute_path(const std::string& path);
std::string_view absolute_path_or_none(const std::string& path);
std::string_view environment(const std::string& entry);  // NAME=value
std::string_view cpu_list(const std::string& list);      // "0-3,7"
std::string_view device_access(const std::string& access);
std::string_view page_size(const std::string& size);        // "2MB"
std::string_view cgroups_path(const std::string& path);     // a path or slice:prefix:name
std::string_view host_name(const std::string& name);        // 64 bytes of the kernel
std::string_view clos_id(const std::string& id);            // a directory name of resctrl
std::string_view memory_schema(const std::string& schema);  // one line "MB:…"
std::string_view no_flags(const std::vector<std::string>& flags);
std::string_view block_weight(std::uint16_t weight);

// Over the names of a map.
std::string_view sysctl_names(const std::map<std::string, std::string>& sysctl);
std::string_view cgroup_files(const std::map<std::string, std::string>& unified);
std::string_view clocks(const std::map<std::string, TimeOffset>& offsets);
std::string_view annotation_names(const std::map<std::string, std::string>& annotations);

// Device numbers of Linux: 12 bits of major, 20 of minor; a rule may say -1 for any.
inline constexpr Between kMajor{0, 0xfff};
inline constexpr Between kMinor{0, 0xf'ffff};
inline constexpr Between kRuleMajor{-1, 0xfff};
inline constexpr Between kRuleMinor{-1, 0xf'ffff};
// Bytes, -1 for no limit.
inline constexpr Between kBytes{-1, std::numeric_limits<std::int64_t>::max()};

}  // namespace agentvm::oci::check
