#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/containerd/task.pb.h"
#include "rpc/payload.h"
#include "runtime/container/remove.h"
#include "shim/actions.h"
#include "shim/names.h"
#include "shim/rootfs.h"
#include "shim/shim_record.h"
#include "shim/state_root.h"
#include "shim/timestamp.h"

namespace agentvm::shim {

namespace {

constexpr std::uint32_t kKilled = 128 + SIGKILL;

std::string bundle_of(const Arguments& arguments) {
  if (!arguments.bundle.empty()) return arguments.bundle;
  std::error_code code;
  const auto here = std::filesystem::current_path(code);
  return code ? "" : here.string();
}

// The stand-in's pid, 0 when nothing is known of the container.
Result<pid_t> remove_container(const Names& names, const std::string& id) {
  runtime::Engine engine;
  engine.root = names.state_root;
  pid_t pid = 0;
  if (const auto opened = runtime::open_container(engine, id)) pid = opened->record.monitor.pid;
  TRY(runtime::remove_container(engine, id, true));
  return pid;
}

Result<pid_t> remove_everything(const Arguments& arguments) {
  const Names names = names_for(arguments.address, arguments.name_space, arguments.id);
  const std::string bundle = bundle_of(arguments);
  // A shim that is still there, but not for containerd, would watch us and be in our way.
  if (const auto directory = sys::open_at(AT_FDCWD, bundle, O_RDONLY | O_DIRECTORY)) {
    kill_shim(directory->get());
  }
  auto root = TRY(HeldStateRoot::hold(names.state_root));
  auto removed = remove_container(names, arguments.id);
  Result<void> unmounted;
  if (!bundle.empty()) unmounted = unmount_rootfs(bundle + "/rootfs");
  root.release();
  if (::unlink(names.socket.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, fmt::format("remove '{}'", names.socket));
  }
  const pid_t pid = TRY(std::move(removed));
  TRY(std::move(unmounted));
  return pid;
}

}  // namespace

Result<int> run_delete(const Arguments& arguments) {
  const pid_t pid = TRY(remove_everything(arguments));
  containerd::task::v2::DeleteResponse response;
  response.set_pid(static_cast<std::uint32_t>(pid));
  response.set_exit_status(kKilled);
  *response.mutable_exited_at() = to_timestamp(std::chrono::system_clock::now());
  TRY(sys::write_all(1, rpc::serialize(response)));
  return 0;
}

}  // namespace agentvm::shim
