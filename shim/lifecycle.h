// What happens to containers and their processes, in containerd's order of events: create → start
// → exit → delete, exec-added → exec-started → exit. An init's exit is told after those of its
// execs.
#pragma once

#include <memory>
#include <string>

#include "oci/base/async.h"
#include "rpc/containerd/task.pb.h"
#include "shim/containers.h"
#include "shim/event_publisher.h"
#include "shim/reaper.h"

namespace agentvm::shim {

// Borrowed; they outlive the loop's coroutines.
struct Surroundings {
  std::string name_space;
  std::string state_root;  // the runtime's --root
  Reaper& reaper;
  EventPublisher& events;
  Containers& containers;
};

namespace task = containerd::task::v2;

// The container's stand-in. already_exists; otherwise what the runtime says.
[[nodiscard]] Task<pid_t> create_container(Surroundings& in, task::CreateTaskRequest request);

// A process is added to a container; nothing runs yet.
[[nodiscard]] Task<void> add_exec(Surroundings& in, task::ExecProcessRequest request);

// The stand-in's pid. The init, or an exec that was added.
[[nodiscard]] Task<pid_t> start_process(Surroundings& in, std::string id, std::string exec_id);

struct Deleted {
  pid_t pid = 0;
  Exit exit;
};
// Of an init: the container with all that it left on the host.
[[nodiscard]] Task<Deleted> delete_process(Surroundings& in, std::string id, std::string exec_id);

}  // namespace agentvm::shim
