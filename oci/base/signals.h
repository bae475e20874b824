// Signals of a child process between fork(2) and execve(2).
#pragma once

namespace agentvm {

// Every disposition the default one, nothing blocked: what is ignored and the mask would pass
// through execve(2). System calls only. False with errno when the mask stays.
bool reset_signals();

}  // namespace agentvm
