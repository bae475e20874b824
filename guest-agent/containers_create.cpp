// Containers: create, start, the end of init, erase.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <optional>
#include <utility>

#include "guest-agent/blocking_call.h"
#include "guest-agent/containers.h"
#include "guest-agent/launch/sources.h"
#include "guest-agent/modules.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/spec_parser.h"
#include "oci/spec_words.h"
#include "rpc/guest_contract.h"

namespace agentvm::guest {

namespace {

// Long under emulation, and only ever waited for when the kernel is stuck.
constexpr std::chrono::milliseconds kCgroupPatience{30000};
constexpr std::uint32_t kStartFailed = 127;

// Docker takes "no such file or directory" for a missing program of the user's (exit status 127).
// What is missing here is ours.
Error our_own(Error error) {
  if (error.errnum == ENOENT) {
    error.errnum = 0;
    error.message += ": ENOENT";
    if (error.kind == ErrorKind::not_found) error.kind = ErrorKind::internal;
  }
  return error;
}

template <class T>
Result<T> of_our_own(Result<T> outcome) {
  if (outcome) return outcome;
  return std::unexpected(our_own(std::move(outcome).error()));
}

void mark(const CreateOrder& order, agent::v1::GuestStep step) {
  if (order.moments != nullptr) order.moments->mark(step);
}

std::optional<oci::NamespaceType> joinable_type(std::string_view word) {
  for (const auto& [name, type] : oci::json_words(oci::NamespaceType())) {
    const bool joinable = type == oci::NamespaceType::ipc || type == oci::NamespaceType::uts ||
                          type == oci::NamespaceType::pid;
    if (joinable && name == word) return type;
  }
  return std::nullopt;
}

Result<oci::Spec> parse_guest_spec(const std::string& json) {
  oci::Spec spec = TRY(oci::parse_spec(json));
  if (!spec.process || !spec.root) {
    return fail(ErrorKind::invalid_argument, "the spec needs /process and /root");
  }
  return spec;
}

}  // namespace

Task<pid_t> Containers::create(CreateOrder order, std::shared_ptr<rpc::Connection> owner) {
  CO_TRY(check_name(order.id, "container id"));
  if (containers_.contains(order.id)) {
    co_return fail(ErrorKind::already_exists,
                   fmt::format("container with id exists: {}", order.id));
  }
  if (containers_.size() >= kMaxContainers) {
    co_return fail(ErrorKind::failed_precondition,
                   fmt::format("more than {} containers in one guest", kMaxContainers));
  }
  const auto container = std::make_shared<Container>(order.id);
  container->spec = CO_TRY(parse_guest_spec(order.spec_json));
  // What it says must never be passed over in silence.
  if (container->spec.linux_ && container->spec.linux_->seccomp) {
    co_return fail(ErrorKind::invalid_argument,
                   "linux.seccomp: the guest takes the compiled filter only");
  }
  container->seccomp = std::move(order.seccomp);
  mark(order, agent::v1::GUEST_STEP_SPEC_PARSED);
  containers_[order.id] = container;
  container->create_done = std::make_shared<Event>(executor_);
  auto built = co_await build(container, std::move(order), std::move(owner));
  if (built) {
    container->create_done->set();
    co_return container->init->pid();
  }
  Error error = std::move(built).error();
  auto undone = co_await dismantle(container);
  containers_.erase(container->id);
  container->create_done->set();
  if (!undone) error = std::move(error).also(undone.error());
  co_return std::unexpected(std::move(error));
}

// The steps of a create. What a failure leaves half done, dismantle() takes apart.
Task<void> Containers::build(Shared container, CreateOrder order,
                             std::shared_ptr<rpc::Connection> owner) {
  auto mounted = co_await mount_storages(container, std::move(order.storages));
  CO_TRY(of_our_own(std::move(mounted)));
  mark(order, agent::v1::GUEST_STEP_STORAGES_MOUNTED);
  CO_TRY(of_our_own(serve_module_requests()));
  const oci::Resources resources = container->spec.linux_ && container->spec.linux_->resources
                                       ? *container->spec.linux_->resources
                                       : oci::Resources{};
  container->cgroup = CO_TRY(of_our_own(Cgroup::create(cgroups_, container->id, resources)));
  mark(order, agent::v1::GUEST_STEP_CGROUP_MADE);
  auto launched = co_await launch(container, std::move(order), std::move(owner));
  CO_TRY(std::move(launched));
  CO_TRY(of_our_own(open_docker(*container)), "the container's own Docker");
  CO_TRY(container->take(ContainerEvent::created));
  // Killed meanwhile, by the end of its owner perhaps.
  if (container->init->has_exited()) CO_TRY(container->take(ContainerEvent::exit));
  co_return Result<void>();
}

Result<void> Containers::open_docker(Container& container) {
  const auto wanted = container.spec.annotations.find(rpc::kDockerAnnotation);
  if (wanted == container.spec.annotations.end()) return {};
  if (wanted->second.empty()) {
    load_docker_modules();
    return {};
  }
  container.docker = TRY(DockerDoor::open(executor_, reaper_, container.spec, container.init->pid(),
                                          *container.cgroup, wanted->second));
  container.docker->serve();
  return {};
}

Task<void> Containers::mount_storages(Shared container, std::vector<StorageOrder> storages) {
  for (StorageOrder& storage : storages) {
    const std::string mount_point = storage.mount_point;
    const bool disk = storage.driver == "block";
    auto acquired = co_await storages_.acquire(std::move(storage));
    CO_TRY(std::move(acquired));
    container->storages.push_back(mount_point);
    if (disk) container->disks.push_back(mount_point);
  }
  co_return Result<void>();
}

Result<std::vector<JoinedNamespace>> Containers::find_namespaces(
    const oci::Spec& spec, const std::vector<SharedNamespace>& shared) const {
  std::vector<JoinedNamespace> joined;
  for (const SharedNamespace& one : shared) {
    const std::string what = fmt::format("shared namespace '{}'", one.type);
    const auto type = joinable_type(one.type);
    if (!type) return fail(ErrorKind::invalid_argument, what + ": only ipc, uts and pid can be");
    const bool twice = std::ranges::find(joined, *type, &JoinedNamespace::type) != joined.end();
    if (twice || has_namespace(spec, *type) || has_namespace(spec, oci::NamespaceType::user)) {
      return fail(ErrorKind::invalid_argument,
                  what + ": the container has one of its own, or a user namespace");
    }
    const Shared other = TRY(find(one.container_id), "{} of '{}'", what, one.container_id);
    if (!other->init || other->init->has_exited()) {
      return fail(ErrorKind::failed_precondition,
                  fmt::format("{} of '{}': container not running", what, one.container_id));
    }
    // Not reaped before the event loop runs again.
    auto process = TRY(sys::pidfd_open(other->init->pid()), "{}", what);
    joined.push_back({*type, std::move(process)});
  }
  return joined;
}

Task<void> Containers::launch(Shared container, CreateOrder order,
                              std::shared_ptr<rpc::Connection> owner) {
  const oci::Process& process = *container->spec.process;
  auto io = CO_TRY(ProcessIo::create(executor_, streams_, order.streams, process.terminal));
  InitLaunch init;
  init.joined = CO_TRY(find_namespaces(container->spec, order.shared_namespaces));
  init.id = container->id;
  init.spec = container->spec;
  init.cgroup = container->cgroup->path();
  init.seccomp = container->seccomp;
  init.stdio = io->take_child_side();
  const auto launching = reaper_.launching();
  auto launched = co_await launch_init(std::move(init));
  container->launched = CO_TRY(std::move(launched));
  if (process.terminal) {
    CO_TRY(io->set_terminal(container->launched->take_terminal(), process.console_size));
  }
  const pid_t pid = container->launched->pid();
  container->init = std::make_shared<Process>(executor_, pid, io);
  reaper_.watch(pid, [this, container](int wait_status) {
    note_exit(*container, *container->init, wait_status);
    // The law allows the end of init at any time.
    (void)container->take(ContainerEvent::exit);
    asio::co_spawn(executor_, finish_init(container), asio::detached);
  });
  io->start();
  // A weak reference: the hook belongs to the process, which belongs to the container.
  container->init->set_owner(std::move(owner), [weak = std::weak_ptr(container)] {
    const auto alive = weak.lock();
    if (alive && alive->cgroup) (void)alive->cgroup->kill();
  });
  co_return Result<void>();
}

void Containers::note_exit(Container& container, Process& process, int wait_status) {
  ExitStatus status = exit_status_of(wait_status);
  const std::uint64_t oom_kills = container.cgroup ? container.cgroup->oom_kills() : 0;
  status.oom_killed = status.signal == SIGKILL && oom_kills > container.oom_kills_seen;
  // One kill explains one exec's end; init's end stands for all that came before it.
  if (container.init.get() != &process) container.oom_kills_seen = oom_kills;
  process.set_exited(status);
}

asio::awaitable<void> Containers::finish_init(Shared container) {
  const auto init = container->init;
  if (container->docker) container->docker->stop();
  // Without a pid namespace of its own the others outlive init; nobody would end them.
  if (container->cgroup) (void)container->cgroup->kill();
  co_await init->io().finish();
  const auto start_done = container->start_done;
  if (start_done) co_await start_done->wait();
  // `docker cp` and the next VM read the files from the host.
  (void)co_await sync_file_system(reaper_, container->spec.root->path);
  // The VM may be gone the moment after the exit is known.
  for (const std::string& disk : container->disks) (void)co_await sync_file_system(reaper_, disk);
  init->set_finished();
}

Task<void> Containers::start(std::string id, std::string state_json) {
  const Shared container = CO_TRY(find(id));
  CO_TRY(container->take(ContainerEvent::start));
  const auto launched = std::move(container->launched);
  container->start_done = std::make_shared<Event>(executor_);
  auto started = co_await launched->start(std::move(state_json));
  if (!started) {
    container->init->override_status({kStartFailed, 0, false});
    if (container->cgroup) (void)container->cgroup->kill();
  }
  container->start_done->set();
  co_return started;
}

Task<void> Containers::erase(std::string id) {
  const Shared container = CO_TRY(find(id));
  co_await container->create_done->wait();
  (void)CO_TRY(find(id));  // it may have come to nothing
  CO_TRY(container->take(ContainerEvent::erase));
  auto gone = co_await dismantle(container);
  if (gone) {
    containers_.erase(container->id);
  } else {
    container->status = ContainerStatus::stopped;
  }
  co_return gone;
}

Task<void> Containers::dismantle(Shared container) {
  container->launched.reset();
  if (container->docker) container->docker->stop();
  container->docker.reset();
  std::vector<std::shared_ptr<Process>> processes;
  if (container->init) processes.push_back(container->init);
  for (const auto& [exec_id, process] : container->execs) {
    if (process) processes.push_back(process);
  }
  for (const auto& process : processes) process->io().abort();
  if (container->cgroup) {
    auto removed = co_await container->cgroup->remove(kCgroupPatience);
    CO_TRY(of_our_own(std::move(removed)));
  }
  for (const auto& process : processes) co_await process->wait_finished();
  while (!container->storages.empty()) {
    auto released = co_await storages_.release(container->storages.back());
    container->storages.pop_back();
    CO_TRY(of_our_own(std::move(released)));
  }
  co_return Result<void>();
}

void Containers::kill_all() {
  for (const auto& [id, container] : containers_) {
    if (container->cgroup) (void)container->cgroup->kill();
  }
}

}  // namespace agentvm::guest
