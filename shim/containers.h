// The tasks of a shim: containers by id, each with its init and its execs. Plain state; what may
// happen to it stands in process_rules.h, what does in lifecycle.h.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "oci/base/async.h"
#include "shim/async_lock.h"
#include "shim/guest.h"
#include "shim/process_io.h"
#include "shim/process_rules.h"
#include "shim/timestamp.h"
#include "shim/verb.h"

namespace agentvm::shim {

struct Exit {
  std::uint32_t status = 0;
  TimePoint at;
};

// An init, or an exec.
struct Process {
  Process(const asio::any_io_executor& executor, std::string of_container, std::string named,
          IoRequest with_streams)
      : container_id(std::move(of_container)),
        exec_id(std::move(named)),
        streams(std::move(with_streams)),
        lock(executor),
        ended(executor) {}

  [[nodiscard]] bool is_exec() const { return !exec_id.empty(); }

  std::string container_id;
  std::string exec_id;  // empty: the init
  IoRequest streams;
  std::string document;    // of an exec: its OCI process
  std::string guest_name;  // of an exec that was started: the agent's name of it
  ProcessStatus status = ProcessStatus::created;
  pid_t pid = 0;  // the stand-in's
  std::optional<Exit> exit;
  std::unique_ptr<ProcessIo> io;  // from the start of its making to its end
  // What was asked for an exec before there was one.
  bool stdin_closed = false;
  std::optional<runtime::WindowSize> window;
  AsyncLock lock;  // start, delete and the exit follow each other
  Event ended;     // it has exited, and that is published; or it will never run
};

struct Container {
  std::string id;
  std::string bundle;
  VerbRequest verb;  // what every verb of it shares
  std::shared_ptr<Process> init;
  std::map<std::string, std::shared_ptr<Process>> execs;
  std::shared_ptr<Guest> guest;

  [[nodiscard]] VerbRequest make_verb(Verb which) const {
    VerbRequest request = verb;
    request.verb = which;
    return request;
  }
};

class Containers {
 public:
  static constexpr std::size_t kMostExecs = 4096;  // of one container

  // not_found: "container web".
  [[nodiscard]] Result<std::shared_ptr<Container>> find(const std::string& id) const;
  // `exec_id` empty: the init.
  [[nodiscard]] Result<std::shared_ptr<Process>> find(const std::string& id,
                                                      const std::string& exec_id) const;

  // An id that nobody else may take, until it is add()ed or given back.
  [[nodiscard]] Result<void> reserve(const std::string& id);
  void give_back(const std::string& id) { by_id_.erase(id); }
  void add(const std::shared_ptr<Container>& container) { by_id_[container->id] = container; }
  void remove(const std::string& id) { by_id_.erase(id); }
  [[nodiscard]] bool empty() const { return by_id_.empty(); }

 private:
  std::map<std::string, std::shared_ptr<Container>> by_id_;  // null: reserved
};

}  // namespace agentvm::shim
