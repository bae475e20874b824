#include "runtime/container/ask_monitor.h"

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

Result<void> ask_monitor(const StateDir& dir, const Message& request,
                         std::chrono::milliseconds timeout) {
  Channel channel(TRY(sys::connect_unix_at(dir.fd(), kControlSocket), "reach the monitor"));
  TRY(channel.send(request));
  TRY(channel.expect(MessageType::done, timeout, "the container's monitor"));
  return {};
}

}  // namespace agentvm::runtime
