#include "guest-agent/cgroup_events.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>

#include "guest-agent/deadline.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

Result<bool> parse_cgroup_event(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.size() == name.size() + 2 && line.starts_with(name) && line[name.size()] == ' ') {
      return line.back() == '1';
    }
  }
  return fail(ErrorKind::unavailable, fmt::format("cgroup.events has no '{}'", name));
}

namespace {

Result<bool> read_event(int fd, std::string_view name) {
  std::array<char, 512> text;
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  if (n < 0) return fail_errno(errno, "read cgroup.events");
  return parse_cgroup_event({text.data(), static_cast<std::size_t>(n)}, name);
}

}  // namespace

Task<void> wait_for_cgroup_event(std::string path, std::string_view name, bool value,
                                 std::chrono::milliseconds deadline) {
  auto events = CO_TRY(sys::open_at(AT_FDCWD, path + "/cgroup.events", O_RDONLY));
  const auto executor = co_await asio::this_coro::executor;
  asio::posix::stream_descriptor descriptor(executor, events.release());
  const Deadline limit(executor, deadline, [&descriptor] { descriptor.cancel(); });
  for (;;) {
    // Read first: reading arms the kernel's notification for what comes after.
    const bool now = CO_TRY(read_event(descriptor.native_handle(), name));
    if (now == value) co_return Result<void>();
    if (limit.expired()) break;
    const auto [code] =
        co_await descriptor.async_wait(asio::posix::descriptor_base::wait_error, use_result);
    if (code && !limit.expired()) co_return fail_asio(code, "wait for cgroup.events");
  }
  co_return fail(ErrorKind::unavailable,
                 fmt::format("cgroup did not become {} within {} ms",
                             value ? name : fmt::format("not {}", name), deadline.count()));
}

}  // namespace agentvm::guest
