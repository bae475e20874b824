// config.json and its parts as bytes → values: OCI runtime-spec 1.2 (config.md, config-linux.md,
// config-vm.md), Linux. Pure; accepts every 1.x document, holds what the specification demands of
// it, and names the member that is wrong ("/process/cwd: must be an absolute path, found "tmp"").
// All errors are ErrorKind::invalid_argument.
//
// As runc does: members given as null count as absent, a relative mount destination is taken from
// "/", capabilities the runtime does not know are left out (reported in Spec::unknown_members).
// Members of other platforms are unknown members. Member names are case-sensitive.
#pragma once

#include <string_view>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::oci {

// The versions of the specification that this runtime implements.
inline constexpr std::string_view kOciVersionMin = "1.0.0";
inline constexpr std::string_view kOciVersionMax = "1.2.1";

// A whole config.json.
[[nodiscard]] Result<Spec> parse_spec(std::string_view json);
// The process object alone: `exec --process`.
[[nodiscard]] Result<Process> parse_process(std::string_view json);
// linux.resources alone: `update --resources`.
[[nodiscard]] Result<Resources> parse_resources(std::string_view json);

}  // namespace agentvm::oci
