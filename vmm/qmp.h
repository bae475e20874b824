// QEMU's control socket as typed calls. One client per machine, on a connected socket; commands
// have deadlines, and a QEMU that breaks the protocol is done for: every call fails from then on.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "vmm/qmp_message.h"

namespace agentvm::vmm {

// A -device by QMP. Property names as `qemu-system-x86_64 -device DRIVER,help` gives them.
struct QmpDevice {
  using Value = std::variant<std::string, std::int64_t, bool>;
  std::string driver;
  std::string id;
  std::string bus;  // "": QEMU's choice
  std::vector<std::pair<std::string, Value>> properties;
};

// A tap as a network backend; the fd has been given by getfd() under `fd_name`.
struct QmpTap {
  std::string id;
  std::string fd_name;
};

class Qmp {
 public:
  using Timeout = std::chrono::milliseconds;

  // Reads the greeting and negotiates. When this ends well, QEMU has made all its devices.
  // unavailable: QEMU closed the socket, said something else, or was silent past `timeout`.
  [[nodiscard]] static Task<std::unique_ptr<Qmp>> connect(UniqueFd socket, Timeout timeout);

  Qmp(const Qmp&) = delete;
  Qmp& operator=(const Qmp&) = delete;
  ~Qmp();

  [[nodiscard]] const QmpGreeting& greeting() const;
  // Called for every event, in order. Replaces the one before.
  void on_event(std::function<void(const QmpEvent&)> handler);

  // Each of them: failed_precondition with QEMU's words when it refuses, unavailable when it is
  // gone or does not answer in time (then the outcome is not known).
  Task<void> quit(Timeout timeout);  // fine when QEMU is gone before it answers
  Task<void> stop(Timeout timeout);
  Task<void> cont(Timeout timeout);
  Task<void> system_powerdown(Timeout timeout);
  Task<QmpRunState> query_status(Timeout timeout);
  // Answered before the guest has taken notice; the end of device_del is event device_deleted.
  Task<void> device_add(QmpDevice device, Timeout timeout);
  Task<void> device_del(std::string id, Timeout timeout);
  // A backend for guest memory, in a memfd that vhost-user backends map.
  Task<void> memory_add(std::string id, std::uint64_t bytes, Timeout timeout);
  Task<void> object_del(std::string id, Timeout timeout);
  // A property of a device that has an id.
  Task<void> device_set(std::string id, std::string property, std::uint64_t value, Timeout timeout);
  Task<std::vector<QmpCpuPlace>> query_cpu_places(Timeout timeout);
  Task<void> netdev_add(QmpTap tap, Timeout timeout);
  Task<void> netdev_del(std::string id, Timeout timeout);
  // A node of the block layer on a duplicate of `fd`, a raw image that is open for reading and
  // writing. Without locks of QEMU's own: the caller has one.
  Task<void> block_add(std::string node, int fd, Timeout timeout);
  Task<void> block_del(std::string node, Timeout timeout);
  // Gives QEMU a duplicate of `fd` under `name`.
  Task<void> getfd(std::string name, int fd, Timeout timeout);

  // Writes everything of a stopped guest but its memory, which is shared, to `fd`; loads it in a
  // QEMU started with "-incoming defer" on the same memory. Both end when QEMU is done; the guest
  // stays stopped. Once per machine.
  Task<void> save_state(int fd, Timeout timeout);
  Task<void> load_state(int fd, Timeout timeout);

 private:
  class Connection;
  explicit Qmp(std::shared_ptr<Connection> connection);
  Task<void> command(std::string name, std::string arguments, int fd, Timeout timeout);
  Task<void> migrate(std::string command_name, int fd, Timeout timeout);
  std::shared_ptr<Connection> connection_;
};

}  // namespace agentvm::vmm
