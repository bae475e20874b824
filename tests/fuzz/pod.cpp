// What a pod's containers say of themselves: annotations, namespaces, limits; and what a member
// tells its sandbox's monitor, which it must write as it was read.
#include "runtime/pod.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/spec_parser.h"
#include "runtime/monitor/pod_members.h"

using namespace agentvm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto attach = runtime::parse_attach(bytes)) {
    if (runtime::write_attach(*attach) != bytes) std::abort();
  }
  auto spec = oci::parse_spec(bytes);
  if (!spec) return 0;
  const auto place = runtime::pod_place(spec->annotations);
  if (place && place->role == runtime::PodRole::member && place->sandbox_id.empty()) std::abort();
  const auto resources = runtime::sandbox_resources(*spec);
  if (resources) (void)runtime::pod_demand(*resources);
  const std::array fellows{runtime::Fellow{41, "pod"}, runtime::Fellow{42, "web"}};
  (void)runtime::take_pod_namespaces(*spec, fellows);
  // None of theirs is left behind for somebody to follow on the host.
  if (!runtime::take_pod_namespaces(*spec, fellows).empty()) std::abort();
  return 0;
}
