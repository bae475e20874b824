#include "tests/e2e/harness/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "oci/base/sys.h"

namespace agentvm::e2e {

ConsoleSocket::ConsoleSocket(std::string path) : path_(std::move(path)) {
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
  (void)::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  (void)::listen(listener_, 1);
}

ConsoleSocket::~ConsoleSocket() {
  if (master_ >= 0) ::close(master_);
  ::close(listener_);
  ::unlink(path_.c_str());
}

bool ConsoleSocket::receive_master() {
  pollfd entry{listener_, POLLIN, 0};
  if (::poll(&entry, 1, 10'000) <= 0) return false;
  const UniqueFd connection(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
  auto received = sys::receive_fds(connection.get(), 4096, 1);
  if (!received || received->fds.size() != 1) return false;
  master_ = received->fds[0].release();
  return true;
}

void ConsoleSocket::write(const std::string& bytes) const {
  (void)!::write(master_, bytes.data(), bytes.size());
}

void ConsoleSocket::resize(int rows, int columns) const {
  winsize size{};
  size.ws_row = static_cast<unsigned short>(rows);
  size.ws_col = static_cast<unsigned short>(columns);
  (void)::ioctl(master_, TIOCSWINSZ, &size);
}

bool ConsoleSocket::wait_for(const std::string& text, std::chrono::seconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (seen_.find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    pollfd entry{master_, POLLIN, 0};
    if (::poll(&entry, 1, 100) <= 0) continue;
    std::array<char, 4096> chunk;
    const ssize_t n = ::read(master_, chunk.data(), chunk.size());
    if (n <= 0) return false;
    seen_.append(chunk.data(), static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace agentvm::e2e
