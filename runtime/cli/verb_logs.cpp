#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/guest_contract.h"
#include "runtime/cli/verbs.h"
#include "runtime/disks/plan.h"

namespace agentvm::runtime::cli {

namespace {

Result<UniqueFd> open_log(const ContainerRecord& record) {
  const auto root = TRY(sys::open_at(AT_FDCWD, record.rootfs, O_PATH | O_DIRECTORY), "its root");
  // The guest may have put anything there.
  auto log = TRY(sys::open_in_root(root.get(), rpc::kDockerLog, O_RDONLY | O_NONBLOCK | O_NOCTTY),
                 "'{}' in its root", rpc::kDockerLog);
  struct stat status{};
  if (::fstat(log.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("'{}' in its root is no file", rpc::kDockerLog));
  }
  return log;
}

bool is_on_disk(const ContainerRecord& record) {
  const auto root = record.annotations.find(kRootAnnotation);
  return root != record.annotations.end() && root->second == "overlay";
}

Result<void> print(int log) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t count = ::read(log, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "read it");
    if (count == 0) return {};
    const auto end = buffer.begin() + count;
    // What the guest says must not steer a terminal.
    const auto steers = [](char c) {
      return c != '\n' && c != '\t' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f);
    };
    if (terminal) std::replace_if(buffer.begin(), end, steers, '?');
    TRY(sys::write_all(STDOUT_FILENO, {buffer.data(), static_cast<std::size_t>(count)}));
  }
}

}  // namespace

Result<int> run_logs(const Engine& engine, const LogsOptions& options) {
  if (!options.docker) {
    return fail(
        ErrorKind::invalid_argument,
        "logs: only --docker, the log of the container's own Docker, is kept here; what the "
        "container itself prints is its caller's (docker logs)");
  }
  const auto opened = TRY(open_container(engine, options.id));
  if (is_on_disk(opened.record)) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("the root of container '{0}' is on its own disk, which the host does "
                            "not read: agentvm exec {0} cat {1}",
                            options.id, rpc::kDockerLog));
  }
  const auto log = TRY(open_log(opened.record), "the Docker log of container '{}'", options.id);
  TRY(print(log.get()), "the Docker log of container '{}'", options.id);
  return 0;
}

}  // namespace agentvm::runtime::cli
