#include "guest-agent/uevent.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <vector>

#include "guest-agent/socket_wait.h"
#include "oci/base/remove_tree.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

Result<UeventSocket> UeventSocket::open() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT));
  if (!fd) return fail_errno(errno, "open a uevent socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;  // the kernel's own
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, "listen for uevents");
  }
  return UeventSocket(std::move(fd));
}

Task<void> UeventSocket::wait(std::chrono::steady_clock::time_point limit) const {
  auto readable = co_await wait_socket(socket_.get(), SocketSide::readable, limit);
  if (!readable) co_return readable;
  // All that is queued is one reason to look; an overrun (ENOBUFS) too.
  std::array<char, 4096> ignored;
  while (::recv(socket_.get(), ignored.data(), ignored.size(), MSG_DONTWAIT) >= 0) {
  }
  co_return Result<void>();
}

namespace {

constexpr std::string_view kById = "/dev/disk/by-id/virtio-";
constexpr const char* kBlockClass = "/sys/class/block";

std::optional<std::string> find_by_serial(std::string_view serial) {
  const auto directory = sys::open_at(AT_FDCWD, kBlockClass, O_RDONLY | O_DIRECTORY);
  if (!directory) return std::nullopt;
  const auto names = list_names(directory->get()).value_or(std::vector<std::string>());
  for (const std::string& name : names) {
    const auto found = sys::read_file(fmt::format("{}/{}/serial", kBlockClass, name), 256);
    if (found && std::string_view(*found).substr(0, found->find('\n')) == serial) {
      return "/dev/" + name;
    }
  }
  return std::nullopt;
}

std::optional<std::string> find_block_device(const std::string& path) {
  const auto node = path.starts_with(kById) ? find_by_serial(path.substr(kById.size())) : path;
  struct stat found{};
  if (!node || ::stat(node->c_str(), &found) != 0 || !S_ISBLK(found.st_mode)) return std::nullopt;
  return node;
}

}  // namespace

Task<std::string> wait_for_block_device(std::string path, std::chrono::milliseconds patience) {
  auto events = CO_TRY(UeventSocket::open());
  const auto limit = std::chrono::steady_clock::now() + patience;
  for (;;) {
    if (auto node = find_block_device(path)) co_return *std::move(node);
    auto happened = co_await events.wait(limit);
    if (!happened) {
      co_return std::unexpected(
          std::move(happened).error().wrap(fmt::format("wait for block device '{}'", path)));
    }
  }
}

}  // namespace agentvm::guest
