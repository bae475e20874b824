// A container as the agent holds it: its place in the guest and its processes. The verbs are in
// containers.h.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guest-agent/cgroup.h"
#include "guest-agent/container_status.h"
#include "guest-agent/docker.h"
#include "guest-agent/launch.h"
#include "guest-agent/oom_watch.h"
#include "guest-agent/process.h"
#include "oci/spec.h"

namespace agentvm::guest {

// Bounds on what one guest holds; hostile hosts are no threat to a guest, mistakes are.
inline constexpr std::size_t kMaxContainers = 256;
inline constexpr std::size_t kMaxExecs = 1024;         // alive, per container
inline constexpr std::size_t kMaxFinishedExecs = 256;  // whose status is kept, per container
inline constexpr std::size_t kMaxName = 200;           // a container's or an exec's id; a file name

struct Container {
  explicit Container(std::string its_id) : id(std::move(its_id)) {}

  // Takes `event` by the law (container_status.h).
  [[nodiscard]] Result<void> take(ContainerEvent event);

  std::string id;
  ContainerStatus status = ContainerStatus::creating;
  oci::Spec spec;
  std::shared_ptr<const oci::SeccompFilter> seccomp;
  std::optional<Cgroup> cgroup;
  std::vector<std::string> storages;  // mount points, in the order they were mounted
  std::vector<std::string> disks;     // those of them that are disks
  std::shared_ptr<DockerDoor> docker;
  std::shared_ptr<Process> init;
  std::unique_ptr<Launched> launched;  // init, until it is started
  std::shared_ptr<Event> create_done;  // set when create has ended, either way
  std::shared_ptr<Event> start_done;   // once start is at work: its verdict decides the status
  // Execs by id; null while the launch is at work and only the name is taken.
  std::map<std::string, std::shared_ptr<Process>> execs;
  std::deque<std::string> finished_execs;  // oldest first
  std::uint64_t oom_kills_seen = 0;
  std::shared_ptr<OomWatch> oom_watch;  // once somebody has asked
};

// The ids that become file names: letters, digits and _ + - . as runc's, at most kMaxName.
[[nodiscard]] Result<void> check_name(const std::string& name, std::string_view what);

}  // namespace agentvm::guest
