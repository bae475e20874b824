// manifest.json of a template: what it was made of, and how its files must look. Ours alone, but
// read with the checked reader: a damaged one is no template.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::vmm {

struct TemplateManifest {
  std::string key;  // TemplateKey::text
  std::uint32_t vcpus = 0;
  std::uint64_t memory_mib = 0;
  std::uint64_t memory_used_bytes = 0;  // what every restore copies
  std::uint32_t memory_checksum = 0;    // checksum_of_pages()
  std::uint64_t state_bytes = 0;
  std::uint32_t state_checksum = 0;
  std::uint32_t build_ms = 0;
  friend bool operator==(const TemplateManifest&, const TemplateManifest&) = default;
};

inline constexpr std::size_t kMaxManifestBytes = std::size_t{64} << 10;
[[nodiscard]] std::string write_manifest(const TemplateManifest& manifest);
// invalid_argument for anything else than write_manifest() wrote; unknown members too.
[[nodiscard]] Result<TemplateManifest> parse_manifest(std::string_view json);

}  // namespace agentvm::vmm
