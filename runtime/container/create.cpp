#include "runtime/container/create.h"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <filesystem>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "runtime/console.h"
#include "runtime/container/creation.h"
#include "runtime/container/state_document.h"
#include "runtime/destroy.h"
#include "runtime/hooks.h"
#include "runtime/host_root.h"
#include "runtime/monitor/surroundings.h"
#include "runtime/pool/fill.h"
#include "runtime/recorded_cgroup.h"
#include "runtime/session/guest_start.h"
#include "runtime/session/process_streams.h"

namespace agentvm::runtime {

namespace {

constexpr std::string_view kMonitor = "the container's monitor";

// runc's rules on who brings the terminal.
Result<void> check_terminal(const oci::Spec& spec, const CreateRequest& request) {
  const bool terminal = spec.process->terminal;
  if (terminal && request.console_socket.empty() && !request.foreground) {
    return fail(ErrorKind::invalid_argument,
                "cannot allocate tty if runc will detach without setting console socket");
  }
  if (!request.console_socket.empty() && (!terminal || request.foreground)) {
    return fail(ErrorKind::invalid_argument,
                "cannot use console socket if runc will not detach or allocate tty");
  }
  return {};
}

std::string owner_name() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry != nullptr ? entry->pw_name : std::to_string(::geteuid());
}

Result<ContainerRecord> make_record(const Engine& engine, const CreateRequest& request,
                                    const Bundle& bundle) {
  ContainerRecord record;
  record.id = request.id;
  record.oci_version = bundle.spec.oci_version;
  record.bundle = bundle.path;
  record.rootfs =
      std::filesystem::weakly_canonical(std::filesystem::path(bundle.path) / bundle.spec.root->path)
          .string();
  record.annotations = bundle.spec.annotations;
  record.created = make_timestamp();
  record.owner = owner_name();
  record.config_path = engine.config_path;
  record.creator = TRY(refer_to_process(::getpid()));
  record.network_namespace = network_namespace(bundle.spec);
  record.poststart_hooks = bundle.spec.hooks.poststart;
  record.poststop_hooks = bundle.spec.hooks.poststop;
  return record;
}

Result<void> attach_terminal(StandInPlan& plan, const CreateRequest& request) {
  if (!plan.spec.process->terminal) return {};
  if (request.foreground) {
    plan.terminal = TRY(inherit_terminal());
    return {};
  }
  auto pty = TRY(open_pty());
  if (const auto size = plan.spec.process->console_size) {
    TRY(set_window_size(pty.slave.get(), {size->height, size->width}));
  }
  TRY(send_console(request.console_socket, pty));
  plan.terminal = std::move(pty.slave);
  plan.own_terminal = true;
  return {};
}

// The hooks of create, in the specification's order, while the guest boots.
Result<void> run_create_hooks(const ContainerRecord& record, const oci::Hooks& hooks) {
  if (hooks.prestart.empty() && hooks.create_runtime.empty() && hooks.create_container.empty()) {
    return {};
  }
  HookContext context{state_document(record)};
  TRY(run_hooks(HookKind::prestart, hooks.prestart, context));
  TRY(run_hooks(HookKind::create_runtime, hooks.create_runtime, context));
  if (hooks.create_container.empty()) return {};
  auto netns =
      TRY(sys::open_at(AT_FDCWD, fmt::format("/proc/{}/ns/net", record.monitor.pid), O_RDONLY));
  context.network_namespace = netns.get();
  return run_hooks(HookKind::create_container, hooks.create_container, context);
}

bool wants_timings(const oci::Spec& spec) {
  const auto found = spec.annotations.find(kTimingsAnnotation);
  return found != spec.annotations.end() && found->second == "true";
}

void log_timings(const std::string& id, const Timings& timings) {
  for (const std::string_view line : split(timings.table(), "\n")) {
    log::info("container '{}': {}", id, line);
  }
}

// The state directory with the first record, and everything in it up to "created".
Result<CreatedContainer> make(const Engine& engine, const CreateRequest& request,
                              const Bundle& bundle, Timings& timings, StandInPlan& plan,
                              ContainerRecord record,
                              const std::function<Result<void>(const Creation&)>& bring_up) {
  auto root = TRY(StateRoot::open(engine.root));
  auto dir = TRY(root.create(record));
  plan.dir = &dir;
  timings.mark("bundle read, VM planned");
  const Creation creation{engine, request, bundle, dir, record, timings};
  Result<void> up = attach_terminal(plan, request);
  if (up) up = make_guest_directories(dir.fd());
  if (up) up = bring_up(creation);
  if (up) {
    record.status = Status::created;
    up = store(dir, record);
  }
  if (!up) {
    Error error = std::move(up).error().wrap("agentvm create failed");
    if (auto undone = destroy(dir, record); !undone) {
      return std::unexpected(std::move(error).also(undone.error()));
    }
    return std::unexpected(std::move(error));
  }
  timings.mark("created");
  if (wants_timings(bundle.spec)) log_timings(record.id, timings);
  return CreatedContainer{std::move(record), bundle.spec.process->terminal};
}

Result<CreatedContainer> create_with_vm(Engine engine, const CreateRequest& request, Bundle bundle,
                                        PodRole role, Timings& timings) {
  auto agent_sandbox = TRY(bind_to_sandbox(bundle.spec, bundle.path, request.id, engine.config));
  auto plan = TRY(plan_vm(engine, request, bundle, role));
  plan.agent_sandbox = std::move(agent_sandbox);
  auto record = TRY(make_record(engine, request, bundle));
  auto created = TRY(make(engine, request, bundle, timings, plan, std::move(record),
                          [&](const Creation& creation) { return bring_up_vm(creation, plan); }));
  refill_pool(plan.config, plan.machine.config);
  return created;
}

Result<CreatedContainer> create_member(const Engine& engine, const CreateRequest& request,
                                       Bundle bundle, const std::string& sandbox_id,
                                       Timings& timings) {
  auto sandbox = TRY(open_sandbox(engine, sandbox_id), "pod's sandbox '{}'", sandbox_id);
  auto plan = TRY(plan_member(engine, request, bundle, sandbox));
  auto record = TRY(make_record(engine, request, bundle));
  // The interfaces in there are the sandbox's to look after.
  record.network_namespace.clear();
  record.membership = TRY(make_membership(bundle, sandbox));
  record.vm = sandbox.record.vm;
  return make(engine, request, bundle, timings, plan, std::move(record),
              [&](const Creation& creation) { return bring_up_member(creation, plan); });
}

}  // namespace

Result<void> plan_stand_in(const Engine& engine, const CreateRequest& request, const Bundle& bundle,
                           const SharePlace& place, StandInPlan& plan) {
  TRY(check_terminal(bundle.spec, request));
  TRY(check_supported(bundle.spec, engine.config));
  plan.spec = bundle.spec;
  plan.config = TRY(config_for(bundle.spec, engine.config));
  plan.share = TRY(plan_share(bundle.spec, bundle.path, place));
  if (bundle.spec.linux_ && bundle.spec.linux_->seccomp) {
    plan.seccomp = TRY(oci::compile_seccomp(*bundle.spec.linux_->seccomp));
  }
  plan.foreground = request.foreground;
  for (const std::string& note : plan.share.notes) log::info("{}", note);
  for (const std::string& member : bundle.spec.unknown_members) {
    log::warning("config.json: unknown member {} is ignored", member);
  }
  return {};
}

Result<void> follow_stand_in(const Creation& creation, StandInPlan& plan, SpawnedMonitor& spawned,
                             const std::function<Result<void>()>& once_prepared) {
  plan.terminal.reset();  // the stand-in's
  const auto timeout = plan.config.vm.boot_timeout + 4 * plan.config.vm.request_timeout;
  (void)TRY(spawned.channel.expect(MessageType::prepared, timeout, kMonitor));
  TRY(spawned.channel.send({MessageType::proceed, "", {}}));
  TRY(once_prepared());
  TRY(run_create_hooks(creation.record, plan.spec.hooks));
  // A monitor that has failed meanwhile does not listen any more; what it said is there to be read.
  const auto sent = spawned.channel.send({MessageType::hooks_done, "", {}});
  const Message created = TRY(spawned.channel.expect(MessageType::created, timeout, kMonitor));
  TRY(sent);
  return creation.timings.take(created.text);
}

Result<CreatedContainer> create_container(const Engine& engine, const CreateRequest& request) {
  Timings own;
  Timings& timings = request.timings != nullptr ? *request.timings : own;
  TRY(check_container_id(request.id));
  TRY(check_host_root());
  Bundle bundle = TRY(load_bundle(request.bundle));
  const PodPlace place = TRY(pod_place(bundle.spec.annotations));
  if (place.role != PodRole::alone) TRY(refuse_sandbox_in_pod(bundle.spec));
  if (place.role == PodRole::member) {
    return create_member(engine, request, std::move(bundle), place.sandbox_id, timings);
  }
  return create_with_vm(engine, request, std::move(bundle), place.role, timings);
}

}  // namespace agentvm::runtime
