#pragma once

namespace agentvm::shim {

inline constexpr const char* kVersion = AGENTVM_SHIM_VERSION;  // of the project, from CMake

}  // namespace agentvm::shim
