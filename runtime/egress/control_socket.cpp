#include "runtime/egress/control_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kName = "control.sock";

// Whether the file is there and leads nowhere.
bool is_dead(int directory, const std::string& name) {
  const auto connected = sys::connect_unix_at(directory, name, SOCK_NONBLOCK);
  return !connected && connected.error().errnum == ECONNREFUSED;
}

Result<void> make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  return fail_errno(errno, fmt::format("make '{}'", path));
}

}  // namespace

std::string control_socket_path(const SandboxConfig& config, const std::string& name) {
  return fmt::format("{}/{}/{}", config.run_directory, name, kName);
}

Result<UniqueFd> listen_for_control(const SandboxConfig& config, const std::string& name) {
  const std::string path = config.run_directory + "/" + name;
  TRY(make_directory(config.run_directory, 0755));
  TRY(make_directory(path, 0700));
  const auto directory = TRY(sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (is_dead(directory.get(), kName)) (void)::unlinkat(directory.get(), kName, 0);
  auto listening = sys::listen_unix_at(directory.get(), kName, 0660);
  if (!listening && listening.error().errnum == EADDRINUSE) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("it runs already: somebody listens on '{}/{}'", path, kName));
  }
  return listening;
}

void remove_dead_socket(const std::string& path) {
  const std::filesystem::path file(path);
  const auto directory = sys::open_at(AT_FDCWD, file.parent_path(), O_RDONLY | O_DIRECTORY);
  if (directory && is_dead(directory->get(), file.filename())) {
    (void)::unlinkat(directory->get(), file.filename().c_str(), 0);
  }
}

}  // namespace agentvm::runtime
