#include "shim/containers.h"

#include <fmt/format.h>

#include "oci/base/try.h"

namespace agentvm::shim {

Result<std::shared_ptr<Container>> Containers::find(const std::string& id) const {
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || !found->second) {
    return fail(ErrorKind::not_found, fmt::format("container '{}' does not exist", id));
  }
  return found->second;
}

Result<std::shared_ptr<Process>> Containers::find(const std::string& id,
                                                  const std::string& exec_id) const {
  const auto container = TRY(find(id));
  if (exec_id.empty()) return container->init;
  const auto found = container->execs.find(exec_id);
  if (found == container->execs.end()) {
    return fail(ErrorKind::not_found,
                fmt::format("process '{}' of container '{}' does not exist", exec_id, id));
  }
  return found->second;
}

Result<void> Containers::reserve(const std::string& id) {
  if (by_id_.try_emplace(id).second) return {};
  return fail(ErrorKind::already_exists, fmt::format("container '{}' already exists", id));
}

}  // namespace agentvm::shim
