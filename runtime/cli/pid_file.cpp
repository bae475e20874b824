#include "runtime/cli/pid_file.h"

#include <fcntl.h>

#include <array>
#include <filesystem>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime::cli {

namespace {

struct Split {
  UniqueFd directory;
  std::string name;
};

Result<Split> split(const std::string& given) {
  const std::filesystem::path path(given);
  const std::string parent = path.has_parent_path() ? path.parent_path().string() : ".";
  auto directory = TRY(sys::open_at(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY));
  return Split{std::move(directory), path.filename().string()};
}

}  // namespace

Result<void> write_pid_file(const std::string& path, pid_t pid) {
  auto [directory, name] = TRY(split(path), "pid file '{}'", path);
  return sys::replace_file_at(directory.get(), name, std::to_string(pid), 0644);
}

Result<void> send_pidfd(const std::string& socket_path, pid_t pid) {
  auto [directory, name] = TRY(split(socket_path), "pidfd socket '{}'", socket_path);
  auto socket = TRY(sys::connect_unix_at(directory.get(), name), "pidfd socket");
  auto pidfd = TRY(sys::pidfd_open(pid));
  const std::array fds{pidfd.get()};
  return sys::send_fds(socket.get(), "pidfd", fds);
}

}  // namespace agentvm::runtime::cli
