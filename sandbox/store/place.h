// Where sandboxes are kept on the host: a directory each, for its owner alone, and one on a tmpfs
// for what must not survive a reboot. What belongs to all sandboxes is in hidden files beside them:
// no sandbox's name begins with a dot.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::sandbox {

inline constexpr std::size_t kMaxStoredBytes = std::size_t{4} << 20;

// invalid_argument unless it matches [a-z0-9][a-z0-9_.-]{0,62}.
[[nodiscard]] Result<void> check_sandbox_name(std::string_view name);

struct Place {
  std::string directory;      // "/var/lib/agentvm/sandboxes"
  std::string run_directory;  // "/run/agentvm-sandboxes"

  [[nodiscard]] std::string of(std::string_view sandbox) const {
    return directory + "/" + std::string(sandbox);
  }
  [[nodiscard]] std::string run_of(std::string_view sandbox) const {
    return run_directory + "/" + std::string(sandbox);
  }
  // What the guest sees of it, read-only.
  [[nodiscard]] std::string guest_of(std::string_view sandbox) const {
    return of(sandbox) + "/guest";
  }
};

// Makes both directories where they are missing (0755 and 0700 below). permission denied says that
// sandboxes are root's.
[[nodiscard]] Result<void> make_place(const Place& place);
[[nodiscard]] Result<void> make_directory(const std::string& path, mode_t mode);

// Written aside and renamed; the directory must be there.
[[nodiscard]] Result<void> store_file(const std::string& path, std::string_view text, mode_t mode);
// not_found with ENOENT where there is none.
[[nodiscard]] Result<std::string> load_file(const std::string& path);
[[nodiscard]] bool is_there(const std::string& path);

// Whoever changes what is stored holds this. Waits for others; gone with the object.
class StoreLock {
 public:
  [[nodiscard]] static Result<StoreLock> take(const Place& place);

 private:
  explicit StoreLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// The names of the sandboxes that have a directory, sorted.
[[nodiscard]] Result<std::vector<std::string>> sandbox_names(const Place& place);
// Both directories of one, whole; one that is not there is fine.
[[nodiscard]] Result<void> remove_stored(const Place& place, std::string_view sandbox);

}  // namespace agentvm::sandbox
