#include "runtime/start_gate.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <vector>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/lock_wait.h"
#include "runtime/vm_host.h"

namespace agentvm::runtime {

Result<StartGate> StartGate::enter(std::uint32_t places, std::chrono::milliseconds patience) {
  const auto directory = open_host_cache();
  if (!directory) return StartGate(UniqueFd());
  std::vector<UniqueFd> files;
  std::vector<int> fds;
  for (std::uint32_t place = 0; place < places; ++place) {
    files.push_back(TRY(sys::open_at(directory->get(), fmt::format("start-{}", place),
                                     O_RDWR | O_CREAT | O_NOFOLLOW, 0600)));
    fds.push_back(files.back().get());
  }
  const std::size_t mine =
      TRY(wait_for_one_lock(fds, patience), "wait for {} other VMs to start", places);
  return StartGate(std::move(files[mine]));
}

}  // namespace agentvm::runtime
