// Sizes as options and tables write them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::sandbox {

// "512m", "4g", "2GiB", "1048576": bytes, powers of 1024 as Docker reads them.
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);
// "1.5 GiB".
[[nodiscard]] std::string size_text(std::uint64_t bytes);

}  // namespace agentvm::sandbox
