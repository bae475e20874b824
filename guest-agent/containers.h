// The containers of the guest and what can be done to them: agent.proto's verbs without its
// messages. Every verb says when it is legal and what its failure leaves; the law of a container's
// status is container_status.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "guest-agent/container.h"
#include "guest-agent/moments.h"
#include "guest-agent/process_list.h"
#include "guest-agent/reaper.h"
#include "guest-agent/storage.h"
#include "guest-agent/stream_table.h"
#include "oci/base/async.h"
#include "rpc/agent.pb.h"
#include "rpc/server.h"

namespace agentvm::guest {

// A namespace of another container, by linux.namespaces' word.
struct SharedNamespace {
  std::string type;
  std::string container_id;
};

struct CreateOrder {
  std::string id;
  std::string spec_json;
  std::vector<StorageOrder> storages;
  std::vector<SharedNamespace> shared_namespaces;
  std::shared_ptr<const oci::SeccompFilter> seccomp;  // none: no filter
  StreamIds streams;
  Moments* moments = nullptr;  // borrowed until create() has ended
};

struct ExecOrder {
  std::string container_id;
  std::string exec_id;
  std::string process_json;
  StreamIds streams;
  std::string cgroup;  // below the container's own, relative; empty: the container's
};

class Containers {
 public:
  Containers(const asio::any_io_executor& executor, Reaper& reaper, StreamTable& streams,
             CgroupTree cgroups);
  Containers(const Containers&) = delete;
  Containers& operator=(const Containers&) = delete;

  // Legal for an id that is not in use. On failure nothing of the container is left. Returns the
  // pid of init, which stands before the user's program and dies with `owner`.
  [[nodiscard]] Task<pid_t> create(CreateOrder order, std::shared_ptr<rpc::Connection> owner);
  // Legal once, for a created container. On failure the container is stopped, with status 127.
  [[nodiscard]] Task<void> start(std::string id, std::string state_json);
  // Legal for a created or running container and an exec id that is new in it. On failure nothing
  // of the process is left.
  [[nodiscard]] Task<pid_t> exec(ExecOrder order, std::shared_ptr<rpc::Connection> owner);
  // Legal until the container is erased; answers after the last byte of output. An exec whose owner
  // has gone is forgotten when it ends, and the oldest finished ones past kMaxFinishedExecs.
  [[nodiscard]] Task<ExitStatus> wait(std::string id, std::string exec_id);
  // Legal until the container is erased. Ends when more than `seen` of its processes were killed for
  // want of memory, or with init; the number by then.
  [[nodiscard]] Task<std::uint64_t> wait_oom(std::string id, std::uint64_t seen);
  // Signal 0 to 64. Legal while the process lives; with `all` while any process of the container
  // does. A failure leaves a part of `all` signalled.
  [[nodiscard]] Result<void> signal(const std::string& id, const std::string& exec_id,
                                    std::uint32_t signal, bool all);
  // Legal for a process with a terminal.
  [[nodiscard]] Result<void> resize(const std::string& id, const std::string& exec_id,
                                    std::uint32_t rows, std::uint32_t columns);
  // Every process of the container; ProcessEntry::namespace_pids is cut to ours and the
  // container's. Legal for any container.
  [[nodiscard]] Result<std::vector<ProcessEntry>> list(const std::string& id) const;
  // Legal when running; when paused. On failure the container is as it was.
  [[nodiscard]] Task<void> pause(std::string id);
  [[nodiscard]] Task<void> resume(std::string id);
  // Legal while init lives. On failure the limits that were written already stay.
  [[nodiscard]] Result<void> update(const std::string& id, const std::string& resources_json);
  // Legal for any container.
  [[nodiscard]] Result<agent::v1::ContainerStatsResponse> stats(const std::string& id) const;
  // Legal for any container that is not being erased; of one that is being created, once that has
  // ended. A failure leaves the container stopped, to be erased again.
  [[nodiscard]] Task<void> erase(std::string id);

  // SIGKILL to every process of every container: the guest is about to go.
  void kill_all();

  [[nodiscard]] std::size_t size() const { return containers_.size(); }

 private:
  using Shared = std::shared_ptr<Container>;

  // not_found "container does not exist".
  [[nodiscard]] Result<Shared> find(const std::string& id) const;
  [[nodiscard]] Result<std::shared_ptr<Process>> find_process(const std::string& id,
                                                              const std::string& exec_id) const;
  Task<void> build(Shared container, CreateOrder order, std::shared_ptr<rpc::Connection> owner);
  // Where the specification asks for it.
  Result<void> open_docker(Container& container);
  Task<void> mount_storages(Shared container, std::vector<StorageOrder> storages);
  Task<void> launch(Shared container, CreateOrder order, std::shared_ptr<rpc::Connection> owner);
  // Of containers that live; none that the spec gives the container itself.
  Result<std::vector<JoinedNamespace>> find_namespaces(
      const oci::Spec& spec, const std::vector<SharedNamespace>& shared) const;
  // Kills, unmounts and removes what there is of a container, as far as it had got.
  Task<void> dismantle(Shared container);
  // What follows the end of init: the rest dies, streams end, its files are on the disk.
  asio::awaitable<void> finish_init(Shared container);
  Task<std::shared_ptr<Process>> launch_in(Shared container, const ExecOrder& order,
                                           std::shared_ptr<rpc::Connection> owner);
  asio::awaitable<void> finish_exec(Shared container, std::string exec_id,
                                    std::shared_ptr<Process> process);
  Result<std::string> place_exec(const Container& container, const std::string& suffix) const;
  Result<void> signal_all(const Container& container, int signal) const;
  void note_exit(Container& container, Process& process, int wait_status);

  asio::any_io_executor executor_;
  Reaper& reaper_;
  StreamTable& streams_;
  StorageTable storages_;
  CgroupTree cgroups_;
  std::map<std::string, Shared> containers_;
};

}  // namespace agentvm::guest
