#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/spec_parser.h"
#include "runtime/channel.h"
#include "runtime/container/create.h"
#include "runtime/container/exec.h"
#include "runtime/container/freeze.h"
#include "runtime/container/remove.h"
#include "runtime/container/start.h"
#include "runtime/container/update.h"
#include "shim/verb.h"

namespace agentvm::shim {

namespace {

constexpr int kAnswer = 3;
constexpr int kRequest = 4;
constexpr std::size_t kMaxRequest = std::size_t{8} << 20;

Result<runtime::Engine> make_engine(const VerbRequest& request) {
  runtime::Engine engine;
  engine.root = request.root;
  engine.systemd_cgroup = request.systemd_cgroup;
  const bool named = !request.config_path.empty();
  engine.config_path = named ? request.config_path : runtime::kConfigPath;
  engine.config = TRY(runtime::load_config(engine.config_path, named));
  return engine;
}

// The monitor and the stand-ins keep it: theirs is the only word on what a VM died of.
Result<void> open_log(const std::string& bundle) {
  log::Sink sink;
  sink.format = log::Format::json;
  sink.fd = TRY(sys::open_at(AT_FDCWD, bundle + "/log.json", O_WRONLY | O_CREAT | O_APPEND, 0600),
                "the log file");
  log::set_sink(std::move(sink));
  return {};
}

Result<pid_t> create(const runtime::Engine& engine, const VerbRequest& request) {
  TRY(mount_rootfs(request.rootfs, request.bundle + "/rootfs"));
  auto created = runtime::create_container(
      engine, {request.id, request.bundle, request.console_socket, false});
  if (created) return created->record.monitor.pid;
  Error error = std::move(created).error();
  if (request.rootfs.empty()) return std::unexpected(std::move(error));
  if (auto undone = unmount_rootfs(request.bundle + "/rootfs"); !undone) {
    error = std::move(error).also(undone.error());
  }
  return std::unexpected(std::move(error));
}

Result<pid_t> exec(const runtime::Engine& engine, const VerbRequest& request) {
  runtime::ExecRequest exec;
  exec.id = request.id;
  exec.process = TRY(oci::parse_process(request.document), "the process");
  exec.console_socket = request.console_socket;
  return runtime::exec_detached(engine, exec);
}

Result<void> update(const runtime::Engine& engine, const VerbRequest& request) {
  const auto resources = TRY(oci::parse_resources(request.document), "resources");
  return runtime::update_container(engine, request.id, resources);
}

Result<void> remove(const runtime::Engine& engine, const VerbRequest& request) {
  TRY(runtime::remove_container(engine, request.id, false));
  return unmount_rootfs(request.bundle + "/rootfs");
}

Result<pid_t> run(const VerbRequest& request) {
  TRY(open_log(request.bundle));
  const auto engine = TRY(make_engine(request));
  switch (request.verb) {
    case Verb::create:
      return create(engine, request);
    case Verb::exec:
      return exec(engine, request);
    case Verb::start:
      TRY(runtime::start_container(engine, request.id));
      return 0;
    case Verb::pause:
      TRY(runtime::pause_container(engine, request.id));
      return 0;
    case Verb::resume:
      TRY(runtime::resume_container(engine, request.id));
      return 0;
    case Verb::update:
      TRY(update(engine, request));
      return 0;
    case Verb::remove:
      TRY(remove(engine, request));
      return 0;
  }
  return 0;
}

Result<pid_t> run_request(int file) {
  const std::string json = TRY(sys::read_all(file, kMaxRequest), "the shim's request");
  return run(TRY(parse_verb_request(json), "the shim's request"));
}

}  // namespace

int verb_main() {
  (void)::syscall(SYS_close_range, static_cast<unsigned>(kRequest + 1), ~0U, 0U);
  runtime::Channel channel{UniqueFd(::fcntl(kAnswer, F_DUPFD_CLOEXEC, kRequest + 1))};
  UniqueFd request(::fcntl(kRequest, F_DUPFD_CLOEXEC, kRequest + 1));
  ::close(kAnswer);
  ::close(kRequest);
  const auto outcome = run_request(request.get());
  if (outcome) {
    (void)channel.send({runtime::MessageType::done, std::to_string(*outcome), {}});
    return 0;
  }
  log::error("{}", outcome.error().text());
  (void)channel.send({runtime::MessageType::failed, "", outcome.error()});
  return 1;
}

}  // namespace agentvm::shim
