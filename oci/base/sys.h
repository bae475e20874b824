// System calls as Results: EINTR retried, errno kept, every fd CLOEXEC. One function per call that
// the rooms share; what only one room needs stays in that room.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::sys {

// open(2)/openat(2); O_CLOEXEC is added. `dirfd` may be AT_FDCWD.
[[nodiscard]] Result<UniqueFd> open_at(int dirfd, const std::string& path, int flags,
                                       mode_t mode = 0);

// Opens `path` beneath `root_fd` as a container would see it: absolute paths and symlinks resolve
// inside the root, nothing escapes (openat2(2), RESOLVE_IN_ROOT, no magic links). This is the only
// door for a path that comes from a bundle, an image or a guest.
[[nodiscard]] Result<UniqueFd> open_in_root(int root_fd, const std::string& path, int flags,
                                            mode_t mode = 0);

// As mkdir -p beneath `root_fd`, every step resolved in the root. Existing directories are fine.
[[nodiscard]] Result<void> mkdirs_in_root(int root_fd, std::string_view path, mode_t mode);

// The whole file, refused with invalid_argument past `limit` bytes.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t limit);
[[nodiscard]] Result<std::string> read_file_at(int dirfd, const std::string& path,
                                               std::size_t limit);
// All of `fd` to its end, refused past `limit` bytes.
[[nodiscard]] Result<std::string> read_all(int fd, std::size_t limit);

[[nodiscard]] Result<void> write_all(int fd, std::string_view bytes);
// One write(2) to an existing file: what cgroup and proc files want.
[[nodiscard]] Result<void> write_file(const std::string& path, std::string_view bytes);
// Written aside, synced, renamed over `name`: a reader sees the old or the new, never half.
[[nodiscard]] Result<void> replace_file_at(int dirfd, const std::string& name,
                                           std::string_view bytes, mode_t mode);

// Both ends CLOEXEC. pipe: first is read, second is write.
[[nodiscard]] Result<std::pair<UniqueFd, UniqueFd>> pipe();
[[nodiscard]] Result<std::pair<UniqueFd, UniqueFd>> socket_pair(int type);

// A unix stream socket in the directory `dirfd`, by name: works past the 108 bytes of sun_path
// since it goes through /proc/self/fd. listen: the socket file is made with `mode`.
// connect: with SOCK_NONBLOCK in `socket_flags` a listener whose queue is full is EAGAIN, not a
// wait without end, and the socket stays non-blocking.
[[nodiscard]] Result<UniqueFd> connect_unix_at(int dirfd, const std::string& name,
                                               int socket_flags = 0);
[[nodiscard]] Result<UniqueFd> listen_unix_at(int dirfd, const std::string& name, mode_t mode);

// SCM_RIGHTS: one message of `bytes` (not empty) with these fds.
[[nodiscard]] Result<void> send_fds(int socket, std::string_view bytes, std::span<const int> fds);
struct Received {
  std::string bytes;  // empty at the peer's end of file
  std::vector<UniqueFd> fds;
};
[[nodiscard]] Result<Received> receive_fds(int socket, std::size_t max_bytes, std::size_t max_fds);

[[nodiscard]] Result<UniqueFd> pidfd_open(pid_t pid);
[[nodiscard]] Result<void> pidfd_send_signal(int pidfd, int signal);

// Field 22 of /proc/PID/stat: with the pid it names one process for good.
[[nodiscard]] Result<std::uint64_t> process_start_time(pid_t pid);

// n bytes of getrandom(2).
[[nodiscard]] std::string random_bytes(std::size_t n);

}  // namespace agentvm::sys
