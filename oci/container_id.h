// The names of containers: they become directory names, so what may be in one is a security
// question. The letters are runc's.
#pragma once

#include <cstddef>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::oci {

inline constexpr std::size_t kLongestContainerId = 1024;  // bytes

// ASCII letters, digits and any of _ + - . — not empty, not "." or "..". Otherwise
// invalid_argument: `invalid container id format: "a/b"`.
[[nodiscard]] Result<void> check_container_id(std::string_view id);

}  // namespace agentvm::oci
