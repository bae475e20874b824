#include "runtime/pool/fill.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "oci/base/log.h"
#include "oci/base/stopwatch.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/destroy.h"
#include "runtime/lock_wait.h"
#include "runtime/machine_config.h"
#include "runtime/orphan.h"
#include "runtime/pool/holder.h"
#include "runtime/recorded_cgroup.h"
#include "runtime/templates/choice.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kFillLock = ".fill";
// Of the default 1024: a VM is made with what the running ones leave, and gets its container's
// share when it is taken.
constexpr std::uint64_t kLeastShares = 2;
constexpr std::chrono::milliseconds kLockPatience{5000};
// After a failure the next containers do not try again for as long.
constexpr std::chrono::minutes kRetryAfter{10};
constexpr const char* kCgroupParent = "/agentvm-pool";

Result<UniqueFd> lock_filling(const Config& config, std::chrono::milliseconds patience) {
  auto file = TRY(sys::open_at(AT_FDCWD, config.pool.directory + "/" + kFillLock,
                               O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(wait_for_lock(file.get(), patience), "wait for another process that fills the pool");
  return file;
}

CgroupRequest cgroup_of(const PoolPlace& place, const Config& config) {
  CgroupRequest request;
  request.container_id = place.record.id;
  request.cgroups_path = std::string(kCgroupParent) + "/" + place.record.id;
  auto limits = plan_host_limits({}, place.record.vm.memory_mib, config.cgroup.memory_overhead_mib);
  request.limits = std::move(limits.limits);
  request.limits.cpu_shares = kLeastShares;
  request.first = place.record.monitor.pid;
  return request;
}

// The parent is the pool's alone: whoever leaves it last removes it, not who made it.
Result<void> make_cgroup(const Config& config, PoolPlace& place) {
  auto& [dir, record] = place;
  if (!config.cgroup.enabled) return store(dir, record);
  TRY(make_recorded_cgroup(cgroup_of(place, config), dir, record));
  for (CgroupDir& made : record.cgroup.dirs) made.made_parents = {kCgroupParent};
  return store(dir, record);
}

// `filling`: the lock, which the holder must not prolong.
Result<Channel> start_holder(const HolderOrder& order, ContainerRecord& record, UniqueFd& filling) {
  auto ends = TRY(sys::socket_pair(SOCK_STREAM));
  const pid_t pid = TRY(spawn_orphan([&] {
                          ends.first.reset();
                          filling.reset();
                          hold_vm(order, Channel(std::move(ends.second)));
                        }),
                        "start the holder");
  record.monitor = TRY(refer_to_process(pid), "the holder");
  return Channel(std::move(ends.first));
}

// Up to status created. The holder ends with its channel until it has been told that the record is
// stored.
Result<void> bring_up(const Config& config, const vmm::MachineConfig& machine,
                      const vmm::OpenTemplate& saved, PoolPlace& place, UniqueFd& filling) {
  auto& [dir, record] = place;
  record.vm = {machine.vcpus,  machine.memory_mib, std::string(name_of(machine.accelerator)),
               machine.kernel, machine.most.vcpus, machine.most.memory_mib};
  auto holder = TRY(start_holder({config, machine, saved, place}, record, filling));
  TRY(make_cgroup(config, place));
  const auto timeout = config.vm.boot_timeout + 4 * config.vm.request_timeout;
  TRY(holder.expect(MessageType::prepared, timeout, kHolder));
  TRY(holder.send({MessageType::proceed, "", {}}));
  TRY(holder.expect(MessageType::created, timeout, kHolder));
  record.status = Status::created;
  TRY(store(dir, record));
  return holder.send({MessageType::proceed, "", {}});
}

Result<PoolPlace> make_waiting_vm(const Config& config, const vmm::MachineConfig& machine,
                                  const StateRoot& pool, const vmm::TemplateKey& key,
                                  UniqueFd& filling) {
  const auto saved = choose_template(config, machine);
  if (!saved) {
    return fail(ErrorKind::not_found,
                "there is no template of it yet (`agentvm template create` makes one)");
  }
  auto place = TRY(make_place(pool, key));
  auto up = bring_up(config, machine, *saved, place, filling);
  if (up) return place;
  Error error = std::move(up).error().wrap("make a VM of the pool");
  if (auto undone = destroy(place.dir, place.record); !undone) {
    return std::unexpected(std::move(error).also(undone.error()));
  }
  return std::unexpected(std::move(error));
}

// A place that no container will ever take a VM from, and none has.
bool is_stale(const ContainerRecord& record, const vmm::TemplateKey& key) {
  const Status status = effective_status(record);
  return status == Status::stopped || (status == Status::created && !has_key(record, key));
}

// Unless a container has taken it meanwhile: from then on it is that container's.
Result<void> retire(PoolPlace& place) {
  const auto take_away = [&]() -> Result<bool> {
    auto lock = TRY(place.dir.lock(kLockPatience));
    place.record = TRY(place.dir.load());
    if (effective_status(place.record) == Status::running) return false;
    place.record.status = Status::stopped;
    TRY(place.dir.store(place.record, lock));
    return true;
  };
  auto ours = take_away();
  Result<void> done;
  if (!ours) {
    done = std::unexpected(std::move(ours).error());
  } else if (*ours) {
    done = destroy(place.dir, place.record);
  }
  // Its container's end, or another command, has removed it at the same time.
  if (done || done.error().kind == ErrorKind::not_found) return {};
  return std::unexpected(
      std::move(done).error().wrap(fmt::format("remove '{}' from the pool", place.dir.id())));
}

// Removes the stale ones and those past `size`; returns how many wait.
Result<std::uint32_t> sweep(const StateRoot& pool, const vmm::TemplateKey& key,
                            std::uint32_t size) {
  std::uint32_t waiting = 0;
  for (PoolPlace& place : TRY(list_places(pool))) {
    const bool surplus = waits(place.record) && waiting == size;
    if (is_stale(place.record, key) || surplus) {
      TRY(retire(place));
    } else if (waits(place.record)) {
      ++waiting;
    }
  }
  return waiting;
}

Result<bool> lacks_vms(const Config& config, const vmm::MachineConfig& machine) {
  const auto key = TRY(make_pool_key(machine));
  const auto pool = TRY(StateRoot::open(config.pool.directory));
  const auto places = TRY(list_places(pool));
  const auto waiting = std::ranges::count_if(places, [&](const PoolPlace& place) {
    return waits(place.record) && has_key(place.record, key);
  });
  return std::cmp_less(waiting, config.pool.size);
}

[[noreturn]] void be_the_filler(const Config& config) {
  live_on_unseen("agentvm: fills the pool");
  // What the creator has open is not ours to keep open: pipes, locks, terminals.
  (void)::close_range(STDERR_FILENO + 1, UINT_MAX, 0);
  const auto filled = fill_pool(config, std::chrono::milliseconds(0), [](const PoolStep&) {});
  ::_exit(filled ? 0 : 1);
}

Result<void> fill_locked(const Config& config, const StateRoot& pool, UniqueFd& filling,
                         const std::function<void(const PoolStep&)>& made) {
  const auto planned = TRY(plan_default_machine(config));
  const auto key = TRY(make_pool_key(planned.config));
  for (;;) {
    const std::uint32_t waiting = TRY(sweep(pool, key, config.pool.size));
    if (waiting >= config.pool.size) return {};
    const Stopwatch watch;
    const auto place = TRY(make_waiting_vm(config, planned.config, pool, key, filling));
    made({place.dir.id(), waiting + 1, std::chrono::milliseconds(watch.us() / 1000)});
  }
}

}  // namespace

Result<void> fill_pool(const Config& config, std::chrono::milliseconds patience,
                       const std::function<void(const PoolStep&)>& made) {
  if (config.pool.size == 0) {
    return fail(ErrorKind::failed_precondition,
                "the pool is off: set pool.size in the configuration");
  }
  const auto pool = TRY(StateRoot::open(config.pool.directory));
  auto filling = TRY(lock_filling(config, patience));
  auto filled = fill_locked(config, pool, filling, made);
  // A template that is being built is there for the next.
  const bool failed = !filled && filled.error().kind != ErrorKind::not_found;
  keep_failure(config.pool.directory, failed ? filled.error().text() : "");
  return filled;
}

void refill_pool(const Config& config, const vmm::MachineConfig& machine) {
  if (config.pool.size == 0) return;
  auto lacks = lacks_vms(config, machine);
  if (lacks && !*lacks) return;
  if (const std::string why = recent_failure(config.pool.directory, kRetryAfter); !why.empty()) {
    lacks = fail(ErrorKind::failed_precondition,
                 fmt::format("making a VM failed (`agentvm pool fill` tries again): {}", why));
  }
  if (lacks) {
    auto filler = spawn_orphan([&] { be_the_filler(config); });
    if (filler) return;
    lacks = std::unexpected(std::move(filler).error());
  }
  log::warning("the pool is not refilled: {}", lacks.error().text());
}

Result<std::uint32_t> drain_pool(const Config& config) {
  const auto pool = TRY(StateRoot::open(config.pool.directory));
  std::uint32_t ended = 0;
  for (PoolPlace& place : TRY(list_places(pool))) {
    if (effective_status(place.record) == Status::running) continue;
    if (waits(place.record)) ++ended;
    TRY(retire(place));
  }
  return ended;
}

}  // namespace agentvm::runtime
