#include "runtime/container/bundle.h"

#include <cerrno>
#include <filesystem>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/spec_parser.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMaxConfigBytes = 16U << 20;

}  // namespace

Result<Bundle> load_bundle(const std::string& given) {
  std::error_code code;
  const std::string path = std::filesystem::canonical(given, code).string();
  if (code) return fail_errno(code.value(), fmt::format("bundle '{}'", given));
  auto text = sys::read_file(path + "/config.json", kMaxConfigBytes);
  if (!text && text.error().errnum == ENOENT) {
    return fail(ErrorKind::not_found,
                fmt::format("bundle '{}' has no config.json: `agentvm spec` writes one", path));
  }
  const std::string json = TRY(std::move(text));
  auto spec = TRY(oci::parse_spec(json), "{}/config.json", path);
  if (!spec.process) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{}/config.json: /process is missing: there is nothing to run", path));
  }
  return Bundle{path, std::move(spec)};
}

}  // namespace agentvm::runtime
