// The state of containers on the host: `<root>/<id>/`, mode 0700, holding the record, the lock and
// the sockets. Who holds the lock may change the record; readers need none, since the record is
// replaced atomically.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "runtime/record.h"

namespace agentvm::runtime {

inline constexpr const char* kDefaultRoot = "/run/agentvm";
inline constexpr const char* kRecordFile = "state.json";
inline constexpr const char* kLockFile = "lock";

// As runc: 1 to 1024 of [A-Za-z0-9_+.-]; and no dot first. invalid_argument otherwise.
[[nodiscard]] Result<void> check_container_id(std::string_view id);

// How long a command waits for another one to finish with the same container.
inline constexpr std::chrono::milliseconds kVerbLockDeadline{30000};

// An exclusive lock on one container; ends with the object or the process. A child that inherited
// the descriptor does not prolong it.
class StateLock {
 public:
  StateLock(StateLock&&) noexcept = default;
  StateLock& operator=(StateLock&&) noexcept;
  ~StateLock();

 private:
  friend class StateDir;
  explicit StateLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

class StateDir {
 public:
  StateDir(StateDir&&) noexcept = default;
  StateDir& operator=(StateDir&&) noexcept = default;

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] std::string path() const;  // "<root>/<id>", for messages and other programs
  // The directory itself, readable, for openat(2), sys::listen_unix_at and so on.
  [[nodiscard]] int fd() const { return dir_.get(); }

  // Waits until nobody else holds it. unavailable after `deadline`; not_found `container does not
  // exist` when it was deleted meanwhile.
  [[nodiscard]] Result<StateLock> lock(std::chrono::milliseconds deadline) const;

  // not_found when there is no record (a removal that was cut short: remove() it again).
  [[nodiscard]] Result<ContainerRecord> load() const;
  // `held` proves that the caller has the lock.
  [[nodiscard]] Result<void> store(const ContainerRecord& record, const StateLock& held) const;

  // Deletes everything in the directory (beneath its fd, never through a symlink, never across a
  // mount), the record and the lock last, then the directory. Repeating it after a failure is
  // fine. Processes, mounts and cgroups are the caller's to end before.
  [[nodiscard]] Result<void> remove(const StateLock& held);

 private:
  friend class StateRoot;
  StateDir(std::string root_path, std::string id, UniqueFd root, UniqueFd dir);
  std::string root_path_;
  std::string id_;
  UniqueFd root_;  // its own duplicate
  UniqueFd dir_;
};

class StateRoot {
 public:
  // Opens `path`, made with mode 0700 (and its parents 0755) when missing. failed_precondition
  // when it is not ours, a symlink's target excepted, or group or others may write to it.
  [[nodiscard]] static Result<StateRoot> open(const std::string& path);

  // Makes the directory of a new container with `first` as its record, all at once: nobody sees a
  // container without a record. already_exists: `container with given ID already exists`. `first`
  // names the creator; write the monitor and the cgroup as soon as they exist.
  [[nodiscard]] Result<StateDir> create(const ContainerRecord& first) const;
  // not_found: `container does not exist`.
  [[nodiscard]] Result<StateDir> open_container(const std::string& id) const;
  // The ids, sorted. One that is deleted while the caller goes through them is simply gone.
  [[nodiscard]] Result<std::vector<std::string>> list() const;

 private:
  StateRoot(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  UniqueFd fd_;
};

}  // namespace agentvm::runtime
