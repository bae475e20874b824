#include "runtime/cli/version.h"

#include "agentvm_version.h"
#include "oci/spec_parser.h"

namespace agentvm::runtime::cli {

std::string version() {
  return AGENTVM_VERSION;
}
std::string commit() {
  return AGENTVM_COMMIT;
}
std::string seccomp_version() {
  return AGENTVM_SECCOMP_VERSION;
}

std::string version_text() {
  return "agentvm version " + version() + "\ncommit: " + commit() +
         "\nspec: " + std::string(oci::kOciVersionMax);
}

}  // namespace agentvm::runtime::cli
