// dockerd of a container, started by the first connection to its socket, as systemd would
// (sd_listen_fds(3)): a container that never uses it pays for a socket.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "guest-agent/cgroup.h"
#include "guest-agent/launch.h"
#include "guest-agent/reaper.h"
#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

// Loads what a dockerd needs and nothing asks the kernel for. What this kernel lacks is passed
// over.
void load_docker_modules();

// The id of the group `name` in the text of an /etc/group; 0 when it has none.
[[nodiscard]] gid_t group_in(std::string_view text, std::string_view name);

class DockerDoor : public std::enable_shared_from_this<DockerDoor> {
 public:
  // Listens in the root of the container's init, which stands before the user's program: what is
  // opened here is the image's. `program` is dockerd's path in the container; the cgroup is
  // borrowed until stop().
  [[nodiscard]] static Result<std::shared_ptr<DockerDoor>> open(
      const asio::any_io_executor& executor, Reaper& reaper, const oci::Spec& spec, pid_t init,
      const Cgroup& cgroup, std::string program);

  // Until stop(): waits for a client, runs dockerd to its end. What clients asked of a dockerd that
  // has ended is refused, and the next one starts it again. What goes wrong is in rpc::kDockerLog
  // of the container, with all that dockerd says.
  void serve();
  void stop();

 private:
  DockerDoor(const asio::any_io_executor& executor, Reaper& reaper, const Cgroup& cgroup);
  Result<void> open_places(const std::string& root);
  // dockerd enables controllers for cgroups of its own, which the kernel refuses where processes
  // are: they move to a leaf, and the leaf's path is returned.
  Result<std::string> make_room_for_cgroups() const;
  Result<ExecLaunch> order() const;
  Task<void> run_daemon();
  void refuse_waiting() const;
  void note(std::string_view what) const;

  asio::any_io_executor executor_;
  Reaper& reaper_;
  const Cgroup* cgroup_;
  oci::Spec spec_;
  pid_t init_ = 0;
  std::string program_;
  bool chooses_mtu_ = true;  // its configuration does not
  UniqueFd listener_;
  UniqueFd log_;
  asio::cancellation_signal stop_;
  bool stopped_ = false;
};

}  // namespace agentvm::guest
