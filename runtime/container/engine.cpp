#include "runtime/container/engine.h"

#include "oci/base/try.h"

namespace agentvm::runtime {

Result<OpenContainer> open_container(const Engine& engine, const std::string& id) {
  TRY(check_container_id(id));
  auto root = TRY(StateRoot::open(engine.root));
  auto dir = TRY(root.open_container(id));
  auto record = TRY(dir.load());
  return OpenContainer{std::move(dir), std::move(record)};
}

}  // namespace agentvm::runtime
