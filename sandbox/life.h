// A sandbox's life: its files on the host and its container in Docker, made and removed together.
#pragma once

#include <string>
#include <vector>

#include "sandbox/cli/world.h"
#include "sandbox/store/record.h"
#include "sandbox/store/values.h"

namespace agentvm::sandbox {

// The image is there, or is built (ours, by agentvm-images) or pulled now, with its progress on
// standard error.
[[nodiscard]] Result<void> ensure_image(const World& world, const Docker& docker,
                                        const std::string& image, const std::string& agent);

// Everything on the host that a sandbox's runtime and guest read, made new from what is stored:
// policy, values, session. A running gateway is told. What is missing or could not be had is in the
// result.
[[nodiscard]] Result<Resolved> refresh(const World& world, const Record& record);

// refresh() for every sandbox, where stored policy or secrets have changed; how many gateways
// were told. One that fails does not keep the others from it: the errors are joined.
[[nodiscard]] Result<unsigned> refresh_all(const World& world);

// Makes `record`'s container and files; its `container` is filled in. already_exists where the name
// is taken. Nothing is left after a failure.
[[nodiscard]] Result<void> make_sandbox(const World& world, const Docker& docker, Record& record);

// The same with the files that are there: a new container in place of the old one.
[[nodiscard]] Result<void> remake_container(const World& world, const Docker& docker,
                                            Record& record);

// The container, and then what is stored. A container that is gone already is fine.
[[nodiscard]] Result<void> remove_sandbox(const World& world, const Docker& docker,
                                          const Record& record);

// Prints what refresh() found missing to standard error.
void tell_missing(const Resolved& resolved);

}  // namespace agentvm::sandbox
