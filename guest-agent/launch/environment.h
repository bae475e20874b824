// process.env as the program gets it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace agentvm::guest {

// Of entries with one name the last wins, at the first one's place.
[[nodiscard]] std::vector<std::string> unique_environment(const std::vector<std::string>& given);
// The value of `name`; empty when it is not there.
[[nodiscard]] std::string_view environment_value(const std::vector<std::string>& environment,
                                                 std::string_view name);

// The home directory of `uid` in a text like /etc/passwd; "/" when it has none.
[[nodiscard]] std::string home_in_passwd(std::string_view passwd, std::uint32_t uid);

// Sets HOME from /etc/passwd below `root_fd` when it is missing or empty, as runc does. Whatever is
// wrong with that file, the answer is "/".
void add_home(std::vector<std::string>& environment, int root_fd, std::uint32_t uid);

}  // namespace agentvm::guest
