// A checksum of a file with holes that does not depend on where they are.
#pragma once

#include <cstdint>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::vmm {

// CRC-32C (RFC 3720, appendix B.4) of the bytes.
[[nodiscard]] std::uint32_t checksum(std::string_view bytes);

// Of the pages that are not all zero, each with its number: holes and written zeros are the same.
[[nodiscard]] Result<std::uint32_t> checksum_of_pages(int fd);

}  // namespace agentvm::vmm
