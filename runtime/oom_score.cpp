#include "runtime/oom_score.h"

#include <fmt/format.h>

#include "oci/base/log.h"
#include "oci/base/sys.h"

namespace agentvm::runtime {

void apply_oom_score(const oci::Spec& spec, pid_t pid) {
  if (!spec.process || !spec.process->oom_score_adj) return;
  const std::string process = pid == 0 ? "self" : fmt::to_string(pid);
  auto written = sys::write_file(fmt::format("/proc/{}/oom_score_adj", process),
                                 fmt::to_string(*spec.process->oom_score_adj));
  if (!written) {
    log::warning("process.oomScoreAdj does not hold for the VM on the host: {}",
                 written.error().text());
  }
}

}  // namespace agentvm::runtime
