// What this program does, an action each: the exit status, or why not.
#pragma once

#include "oci/base/error.h"
#include "shim/arguments.h"

namespace agentvm::shim {

// Starts a shim in the background and prints where it listens, as this containerd wants it.
[[nodiscard]] Result<int> run_start(const Arguments& arguments);
// The shim itself, on the listening socket that is fd 3, until containerd asks it to end.
[[nodiscard]] Result<int> run_serve(const Arguments& arguments);
// After a shim that is gone or does not answer: nothing of its container stays. Prints a
// DeleteResponse.
[[nodiscard]] Result<int> run_delete(const Arguments& arguments);
// Prints a RuntimeInfo; options on standard input are repeated in it.
[[nodiscard]] Result<int> run_info();

}  // namespace agentvm::shim
