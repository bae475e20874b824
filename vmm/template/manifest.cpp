#include "vmm/template/manifest.h"

#include <fmt/format.h>

#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/try.h"

namespace agentvm::vmm {

void json_fields(auto& io, Like<TemplateManifest> auto& manifest) {
  io.required("key", manifest.key);
  io.required("vcpus", manifest.vcpus);
  io.required("memoryMib", manifest.memory_mib);
  io.required("memoryUsedBytes", manifest.memory_used_bytes);
  io.required("memoryChecksum", manifest.memory_checksum);
  io.required("stateBytes", manifest.state_bytes);
  io.required("stateChecksum", manifest.state_checksum);
  io.required("buildMs", manifest.build_ms);
}

std::string write_manifest(const TemplateManifest& manifest) {
  return write_json(manifest, 2) + "\n";
}

Result<TemplateManifest> parse_manifest(std::string_view json) {
  JsonUnknown unknown;
  auto manifest = TRY(parse_json<TemplateManifest>(
      json, &unknown, {.bytes = kMaxManifestBytes, .depth = 4, .values = 64}));
  if (!unknown.pointers().empty()) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{}: unknown member; another version of agentvm wrote this",
                            unknown.pointers().front()));
  }
  return manifest;
}

}  // namespace agentvm::vmm
