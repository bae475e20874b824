#include "oci/base/sys.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "oci/base/try.h"

namespace agentvm::sys {

namespace {

template <class Call>
auto retry(Call call) {
  auto value = call();
  while (value < 0 && errno == EINTR) value = call();
  return value;
}

}  // namespace

Result<UniqueFd> open_at(int dirfd, const std::string& path, int flags, mode_t mode) {
  const int fd = retry([&] { return ::openat(dirfd, path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) return fail_errno(errno, fmt::format("open '{}'", path));
  return UniqueFd(fd);
}

Result<UniqueFd> open_in_root(int root_fd, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const auto fd = retry([&] {
    long value = ::syscall(SYS_openat2, root_fd, path.c_str(), &how, sizeof how);
    // EAGAIN: a rename or mount raced with the resolution (openat2(2)); try again, a few times.
    for (int tries = 0; value < 0 && errno == EAGAIN && tries < 16; ++tries) {
      value = ::syscall(SYS_openat2, root_fd, path.c_str(), &how, sizeof how);
    }
    return value;
  });
  if (fd < 0) return fail_errno(errno, fmt::format("open '{}' in the root", path));
  return UniqueFd(static_cast<int>(fd));
}

Result<void> mkdirs_in_root(int root_fd, std::string_view path, mode_t mode) {
  std::string walked;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, slash - at);
    at = slash + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      return fail(ErrorKind::invalid_argument, fmt::format("path '{}' has a '..' part", path));
    }
    const std::string parent_path = walked.empty() ? "/" : walked;
    auto parent = TRY(open_in_root(root_fd, parent_path, O_PATH | O_DIRECTORY));
    if (::mkdirat(parent.get(), std::string(part).c_str(), mode) != 0 && errno != EEXIST) {
      return fail_errno(errno, fmt::format("mkdir '{}/{}'", walked, part));
    }
    walked.append("/").append(part);
  }
  TRY(open_in_root(root_fd, walked.empty() ? "/" : walked, O_PATH | O_DIRECTORY));
  return {};
}

Result<std::string> read_all(int fd, std::size_t limit) {
  std::string bytes;
  std::array<char, 16384> chunk;
  for (;;) {
    const ssize_t n = retry([&] { return ::read(fd, chunk.data(), chunk.size()); });
    if (n < 0) return fail_errno(errno, "read");
    if (n == 0) return bytes;
    if (bytes.size() + static_cast<std::size_t>(n) > limit) {
      return fail(ErrorKind::invalid_argument, fmt::format("more than {} bytes", limit));
    }
    bytes.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

Result<std::string> read_file_at(int dirfd, const std::string& path, std::size_t limit) {
  auto fd = TRY(open_at(dirfd, path, O_RDONLY));
  return TRY(read_all(fd.get(), limit), "'{}'", path);
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  return read_file_at(AT_FDCWD, path, limit);
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = retry([&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (n < 0) return fail_errno(errno, "write");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> write_file(const std::string& path, std::string_view bytes) {
  auto fd = TRY(open_at(AT_FDCWD, path, O_WRONLY));
  if (retry([&] { return ::write(fd.get(), bytes.data(), bytes.size()); }) < 0) {
    return fail_errno(errno, fmt::format("write '{}' to '{}'", bytes, path));
  }
  return {};
}

Result<void> replace_file_at(int dirfd, const std::string& name, std::string_view bytes,
                             mode_t mode) {
  const std::string aside = fmt::format(".{}.{}", name, ::getpid());
  auto fd = TRY(open_at(dirfd, aside, O_WRONLY | O_CREAT | O_TRUNC, mode));
  auto written = write_all(fd.get(), bytes);
  if (written && ::fdatasync(fd.get()) != 0) written = fail_errno(errno, "sync");
  if (written && ::renameat(dirfd, aside.c_str(), dirfd, name.c_str()) != 0) {
    written = fail_errno(errno, "rename");
  }
  if (!written) {
    ::unlinkat(dirfd, aside.c_str(), 0);
    return std::unexpected(std::move(written).error().wrap(fmt::format("replace '{}'", name)));
  }
  return {};
}

Result<std::pair<UniqueFd, UniqueFd>> pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

Result<std::pair<UniqueFd, UniqueFd>> socket_pair(int type) {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return fail_errno(errno, "socketpair");
  }
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

namespace {

Result<std::pair<UniqueFd, sockaddr_un>> unix_socket_at(int dirfd, const std::string& name,
                                                        int socket_flags = 0) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", dirfd, name);
  if (name.find('/') != std::string::npos || path.size() >= sizeof address.sun_path) {
    return fail(ErrorKind::invalid_argument, fmt::format("socket name '{}'", name));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | socket_flags, 0));
  if (!fd) return fail_errno(errno, "socket");
  return std::pair(std::move(fd), address);
}

}  // namespace

Result<UniqueFd> connect_unix_at(int dirfd, const std::string& name, int socket_flags) {
  auto [fd, address] = TRY(unix_socket_at(dirfd, name, socket_flags));
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  if (retry([&] { return ::connect(fd.get(), raw, sizeof address); }) != 0) {
    return fail_errno(errno, fmt::format("connect to '{}'", name));
  }
  return std::move(fd);
}

Result<UniqueFd> listen_unix_at(int dirfd, const std::string& name, mode_t mode) {
  auto [fd, address] = TRY(unix_socket_at(dirfd, name));
  // The mode is set on the socket before it has a name: nobody can connect in between.
  if (::fchmod(fd.get(), mode) != 0) return fail_errno(errno, "chmod socket");
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(fd.get(), raw, sizeof address) != 0) {
    return fail_errno(errno, fmt::format("bind '{}'", name));
  }
  if (::fchmodat(dirfd, name.c_str(), mode, 0) != 0) {
    return fail_errno(errno, fmt::format("chmod '{}'", name));
  }
  if (::listen(fd.get(), 128) != 0) return fail_errno(errno, fmt::format("listen on '{}'", name));
  return std::move(fd);
}

Result<void> send_fds(int socket, std::string_view bytes, std::span<const int> fds) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  std::vector<char> control(CMSG_SPACE(fds.size_bytes()));
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  const ssize_t n = retry([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); });
  if (n < 0) return fail_errno(errno, "send file descriptors");
  if (static_cast<std::size_t>(n) != bytes.size()) {
    return fail(ErrorKind::unavailable, "send file descriptors: short write");
  }
  return {};
}

Result<Received> receive_fds(int socket, std::size_t max_bytes, std::size_t max_fds) {
  Received received;
  received.bytes.resize(max_bytes);
  iovec part{received.bytes.data(), received.bytes.size()};
  std::vector<char> control(CMSG_SPACE(max_fds * sizeof(int)));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = retry([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
  if (n < 0) return fail_errno(errno, "receive file descriptors");
  received.bytes.resize(static_cast<std::size_t>(n));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    return fail(ErrorKind::invalid_argument, "more file descriptors than expected");
  }
  return received;
}

Result<UniqueFd> pidfd_open(pid_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) return fail_errno(errno, fmt::format("pidfd_open {}", pid));
  return UniqueFd(static_cast<int>(fd));
}

Result<void> pidfd_send_signal(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0) {
    return fail_errno(errno, fmt::format("send signal {}", signal));
  }
  return {};
}

Result<std::uint64_t> process_start_time(pid_t pid) {
  const std::string stat = TRY(read_file(fmt::format("/proc/{}/stat", pid), 4096));
  // The command name may hold spaces and brackets: fields are counted from the last ')'.
  std::size_t at = stat.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  std::uint64_t ticks = 0;
  if (at == std::string::npos ||
      std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), ticks).ec != std::errc()) {
    return fail(ErrorKind::internal, fmt::format("/proc/{}/stat is not as proc(5) says", pid));
  }
  return ticks;
}

std::string random_bytes(std::size_t n) {
  std::string bytes(n, '\0');
  for (std::size_t at = 0; at < n;) {
    const ssize_t got = retry([&] { return ::getrandom(bytes.data() + at, n - at, 0); });
    at += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace agentvm::sys
