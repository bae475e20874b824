#include "guest-agent/container.h"

#include <fmt/format.h>

#include "oci/base/try.h"
#include "oci/container_id.h"

namespace agentvm::guest {

Result<void> Container::take(ContainerEvent event) {
  status = TRY(next_status(status, event));
  return {};
}

Result<void> check_name(const std::string& name, std::string_view what) {
  TRY(oci::check_container_id(name), "{}", what);
  if (name.size() <= kMaxName) return {};
  return fail(ErrorKind::invalid_argument,
              fmt::format("{} is longer than {} bytes", what, kMaxName));
}

}  // namespace agentvm::guest
