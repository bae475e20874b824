// Where VMs wait: a directory of the pool, and in it a place for each VM, kept as a container's
// state is (runtime/state_dir.h). Of its record, `monitor` is the process that holds the VM;
// status "creating" says that it is being restored, "created" that it waits, "running" that the
// container whose state directory `bundle` names has it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "runtime/config.h"
#include "runtime/state_dir.h"
#include "vmm/template/key.h"

namespace agentvm::runtime {

struct PoolPlace {
  StateDir dir;
  ContainerRecord record;
};

// Why the last attempt to fill the pool failed; "" when it did not, or that is longer ago than
// `age`.
[[nodiscard]] std::string recent_failure(const std::string& directory, std::chrono::seconds age);
// Keeps the reason; "" forgets it.
void keep_failure(const std::string& directory, const std::string& reason);

// What a waiting VM was made of; a container takes none of another key. Besides what shapes the
// guest, the programs that serve it, this one included, and its confinement.
[[nodiscard]] Result<vmm::TemplateKey> make_pool_key(const vmm::MachineConfig& machine);

// A new place, in status creating, which this process answers for.
[[nodiscard]] Result<PoolPlace> make_place(const StateRoot& pool, const vmm::TemplateKey& key);

// All of them; one that goes meanwhile is left out.
[[nodiscard]] Result<std::vector<PoolPlace>> list_places(const StateRoot& pool);

[[nodiscard]] bool has_key(const ContainerRecord& record, const vmm::TemplateKey& key);
// It is there to be taken.
[[nodiscard]] bool waits(const ContainerRecord& record);

}  // namespace agentvm::runtime
