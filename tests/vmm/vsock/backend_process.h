// The shipped binary, started as the VM's monitor starts it: every file inherited, a directory of
// its own for the sockets.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "oci/base/unique_fd.h"

namespace agentvm::vmm::vsock::testing {

class BackendProcess {
 public:
  enum class QemuEnd : std::uint8_t { connected, listening };
  explicit BackendProcess(QemuEnd qemu_end = QemuEnd::connected);
  BackendProcess(const BackendProcess&) = delete;
  BackendProcess& operator=(const BackendProcess&) = delete;
  ~BackendProcess();

  // QEMU's end of the vhost-user connection.
  [[nodiscard]] UniqueFd take_vhost_user() { return std::move(vhost_user_); }

  // A client's socket, connected; with `port`, the CONNECT line is sent.
  [[nodiscard]] UniqueFd connect_client() const;
  [[nodiscard]] UniqueFd connect_client(std::uint32_t port) const;
  // Listens as the service of `port`.
  [[nodiscard]] UniqueFd listen_as_service(std::uint32_t port) const;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Waits for the end of the process. The exit status, or 128 + signal.
  [[nodiscard]] int wait_exit();
  [[nodiscard]] std::string errors() const;  // what it wrote to stderr so far
  // A line of /proc/PID/status, without its name.
  [[nodiscard]] std::string status(const std::string& name) const;
  // How many file descriptors it has; whether it comes to have `count` within ten seconds.
  [[nodiscard]] std::size_t open_files() const;
  [[nodiscard]] bool await_open_files(std::size_t count) const;

 private:
  std::string dir_;
  UniqueFd vhost_user_;
  UniqueFd errors_;
  pid_t pid_ = -1;
};

// Helpers on blocking sockets. Each fails the test instead of waiting for ever.
void write_all(int fd, const std::string& bytes);
// Up to `count` bytes; fewer at the end of file.
[[nodiscard]] std::string read_up_to(int fd, std::size_t count);
[[nodiscard]] std::string read_line(int fd);
// True when the peer has closed: the next read is the end.
[[nodiscard]] bool at_end(int fd);

}  // namespace agentvm::vmm::vsock::testing
