// What containerd hands a shim as bytes: stream URIs, the bootstrap parameters, the options of a
// runtime, and what the shim hands its own verbs.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "shim/bootstrap.h"
#include "shim/io_uri.h"
#include "shim/options.h"
#include "shim/verb.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace agentvm::shim;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto uri = parse_io_uri(bytes)) {
    // Whatever comes of it is opened as root.
    if (uri->kind != IoUri::Kind::none && !uri->path.starts_with('/')) std::abort();
    if (uri->path.find('\0') != std::string::npos) std::abort();
  }
  (void)read_bootstrap(bytes, "moby", "web", true);
  containerd::types::Any options;
  options.set_value(bytes.data(), bytes.size());
  (void)read_options(options);
  if (const auto request = parse_verb_request(bytes)) {
    if (parse_verb_request(write_verb_request(*request)) != *request) std::abort();
  }
  return 0;
}
