// The life of one guest process as its stand-in on the host lives it: signals and window sizes go
// in, the exit comes out. Shared by the monitor (a container's init) and exec.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "oci/base/async.h"
#include "rpc/agent_client.h"
#include "runtime/record.h"
#include "runtime/session/process_streams.h"

namespace agentvm::runtime {

struct GuestProcessId {
  std::string container_id;
  std::string exec_id;  // empty: init
};

// Relays SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, ... of this process to the guest's
// process, and SIGWINCH as the new size of `terminal` (-1: none), for as long as the object lives.
class SignalRelay {
 public:
  SignalRelay(const asio::any_io_executor& executor, std::shared_ptr<rpc::AgentClient> agent,
              GuestProcessId process, int terminal);
  ~SignalRelay();
  SignalRelay(const SignalRelay&) = delete;
  SignalRelay& operator=(const SignalRelay&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Waits for the exit, then for the output's end. unavailable when the guest went away first.
[[nodiscard]] Task<InitExit> wait_process(rpc::AgentClient& agent, const GuestProcessId& process,
                                          ProcessStreams& streams);

// Ends this process the way the guest's process ended: exit code, or death by the same signal
// (without a core file).
[[noreturn]] void end_as(const InitExit& how);

}  // namespace agentvm::runtime
