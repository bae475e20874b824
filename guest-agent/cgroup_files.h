// Reading cgroup v2 files: flat numbers, "key value" lines, and the directories of a subtree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::guest {

inline constexpr std::size_t kMaxCgroupFile = std::size_t{4} << 20;
// A hostile container could build cgroups for ever; ours stop counting here.
inline constexpr std::size_t kMaxCgroupDirectories = 65536;

// The lines of `text`, without empty ones.
[[nodiscard]] std::vector<std::string_view> lines_of(std::string_view text);

// A decimal number alone; "max" is 2^64-1. None for anything else.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

// The number behind `key` in lines of "key value".
[[nodiscard]] std::optional<std::uint64_t> keyed_number(std::string_view text,
                                                        std::string_view key);

// File `name` of the cgroup `path` as a number; none when it is missing or says something else.
[[nodiscard]] std::optional<std::uint64_t> read_number(const std::string& path,
                                                       std::string_view name);

// `path` and every directory below, parents before their children.
[[nodiscard]] Result<std::vector<std::string>> cgroup_directories(const std::string& path);

}  // namespace agentvm::guest
