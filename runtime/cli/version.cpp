#include "runtime/cli/version.h"

#ifndef AGENTVM_VERSION
#define AGENTVM_VERSION "0.0.0"
#endif
#ifndef AGENTVM_COMMIT
#define AGENTVM_COMMIT "unknown"
#endif

namespace agentvm::runtime::cli {

std::string version_text() {
  return "agentvm version " AGENTVM_VERSION "\ncommit: " AGENTVM_COMMIT "\nspec: 1.2.0";
}

}  // namespace agentvm::runtime::cli
