// What a sandbox's credentials are worth, from what is stored and from the environment of who runs
// this: written to the tmpfs for the gateway, never anywhere else.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sandbox/catalog/catalog.h"
#include "sandbox/store/gateway_file.h"
#include "sandbox/store/secrets.h"

namespace agentvm::sandbox {

using ValueMap = std::map<std::string, std::string>;

struct Resolved {
  std::vector<Credential> credentials;  // those that the gateway manages
  ValueMap values;                      // of those that are known, and the upstream proxy
  std::vector<std::string> missing;     // services the agent cannot work without, not known
  std::vector<std::string> warnings;    // values that could not be had, and why
};

// Stored values come before the environment's; those that an earlier call took from the environment
// stay until the reboot. A service that the agent merely can use is managed once its value is
// known: without, the guest's requests travel as they are.
[[nodiscard]] Result<Resolved> resolve(const Place& place, const Catalog& catalog,
                                       const Agent& agent, const std::string& sandbox);

// values.json of one sandbox, for its owner alone.
[[nodiscard]] Result<void> store_values(const Place& place, const std::string& sandbox,
                                        const ValueMap& values);

}  // namespace agentvm::sandbox
