// The program of the container that a VM of the pool lives through before it waits: what most
// programs do first, so that the kernel's part of it has been done once.
#pragma once

namespace agentvm::guest {

// Runs as a container's init from the executable `self`: reads and maps a file of its root, lists
// directories, starts itself once more and writes to its standard output and error. Returns the
// exit status, 0 when all of that went well.
[[nodiscard]] int practise(const char* self);

}  // namespace agentvm::guest
