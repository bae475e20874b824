#include "guest-agent/launch/settings.h"

#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <vector>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// ioprio_set(2). <linux/ioprio.h> is no C++ in all versions: it names a parameter "class".
constexpr int kIoPriorityOfProcess = 1;
constexpr int kIoClassShift = 13;
constexpr int kIoClassRealtime = 1;
constexpr int kIoClassBestEffort = 2;
constexpr int kIoClassIdle = 3;

template <class T>
struct Word {
  std::string_view word;
  T value;
};

constexpr std::array kRlimits = std::to_array<Word<int>>({
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
});

// sched_setattr(2), first version. <linux/sched/types.h> cannot be included beside <sched.h>.
struct SchedAttr {
  std::uint32_t size = sizeof(SchedAttr);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0;
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};
static_assert(sizeof(SchedAttr) == 48);

constexpr int kSchedIso = 4;  // reserved in the kernel, which answers EINVAL

constexpr std::array kPolicies = std::to_array<Word<int>>({
    {"SCHED_OTHER", SCHED_NORMAL},
    {"SCHED_FIFO", SCHED_FIFO},
    {"SCHED_RR", SCHED_RR},
    {"SCHED_BATCH", SCHED_BATCH},
    {"SCHED_ISO", kSchedIso},
    {"SCHED_IDLE", SCHED_IDLE},
    {"SCHED_DEADLINE", SCHED_DEADLINE},
});

constexpr std::array kSchedulerFlags = std::to_array<Word<unsigned>>({
    {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
    {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
    {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
    {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
    {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
    {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
});

constexpr std::array kIoClasses = std::to_array<Word<int>>({
    {"IOPRIO_CLASS_RT", kIoClassRealtime},
    {"IOPRIO_CLASS_BE", kIoClassBestEffort},
    {"IOPRIO_CLASS_IDLE", kIoClassIdle},
});

template <class T, std::size_t N>
std::optional<T> find_word(const std::array<Word<T>, N>& table, std::string_view word) {
  const auto row = std::ranges::find(table, word, &Word<T>::word);
  return row == table.end() ? std::nullopt : std::optional(row->value);
}

std::unexpected<Error> refuse(std::string text) {
  return fail(ErrorKind::invalid_argument, std::move(text));
}

Result<void> set_rlimit(pid_t pid, const oci::Rlimit& limit) {
  const auto resource = rlimit_number(limit.type);
  if (!resource) return refuse(fmt::format("rlimit '{}' is unknown", limit.type));
  const struct rlimit value{limit.soft, limit.hard};
  if (::prlimit(pid, static_cast<__rlimit_resource>(*resource), &value, nullptr) != 0) {
    return fail_errno(errno, fmt::format("rlimit {} {}:{}", limit.type, limit.soft, limit.hard));
  }
  return {};
}

Result<void> set_scheduler(pid_t pid, const oci::Scheduler& scheduler) {
  const auto policy = scheduler_policy(scheduler.policy);
  if (!policy) return refuse(fmt::format("scheduler policy '{}' is unknown", scheduler.policy));
  SchedAttr attr;
  attr.policy = static_cast<std::uint32_t>(*policy);
  attr.nice = scheduler.nice.value_or(0);
  attr.priority = static_cast<std::uint32_t>(scheduler.priority.value_or(0));
  attr.runtime = scheduler.runtime.value_or(0);
  attr.deadline = scheduler.deadline.value_or(0);
  attr.period = scheduler.period.value_or(0);
  for (const std::string& word : scheduler.flags) {
    const auto flag = find_word(kSchedulerFlags, word);
    if (!flag) return refuse(fmt::format("scheduler flag '{}' is unknown", word));
    attr.flags |= *flag;
  }
  if (::syscall(SYS_sched_setattr, pid, &attr, 0) != 0) {
    return fail_errno(errno, fmt::format("scheduler {}", scheduler.policy));
  }
  return {};
}

Result<void> set_io_priority(pid_t pid, const oci::IoPriority& priority) {
  const int value = TRY(io_priority_value(priority));
  if (::syscall(SYS_ioprio_set, kIoPriorityOfProcess, pid, value) != 0) {
    return fail_errno(errno, fmt::format("ioPriority {} {}", priority.io_class, priority.priority));
  }
  return {};
}

Result<void> set_affinity(pid_t pid, const std::string& list) {
  if (list.empty()) return {};
  const auto mask = TRY(cpu_mask(list), "execCPUAffinity");
  if (::syscall(SYS_sched_setaffinity, pid, mask.size() * sizeof mask[0], mask.data()) < 0) {
    return fail_errno(errno, fmt::format("execCPUAffinity '{}'", list));
  }
  return {};
}

Result<unsigned> cpu_number(std::string_view text) {
  unsigned number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || number >= kMostCpus) {
    return refuse(fmt::format("'{}' is not the number of a CPU", text));
  }
  return number;
}

}  // namespace

std::optional<int> rlimit_number(std::string_view name) {
  return find_word(kRlimits, name);
}

std::optional<int> scheduler_policy(std::string_view name) {
  return find_word(kPolicies, name);
}

Result<int> io_priority_value(const oci::IoPriority& priority) {
  const auto io_class = find_word(kIoClasses, priority.io_class);
  if (!io_class) return refuse(fmt::format("ioPriority class '{}' is unknown", priority.io_class));
  if (priority.priority < 0 || priority.priority > 7) {
    return refuse(fmt::format("ioPriority {} is not between 0 and 7", priority.priority));
  }
  return (*io_class << kIoClassShift) | priority.priority;
}

Result<std::vector<std::uint64_t>> cpu_mask(std::string_view list) {
  std::vector<std::uint64_t> mask;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    const std::string_view range = list.substr(at, comma - at);
    at = comma + 1;
    const std::size_t dash = range.find('-');
    const unsigned first = TRY(cpu_number(range.substr(0, dash)));
    const unsigned last = dash == range.npos ? first : TRY(cpu_number(range.substr(dash + 1)));
    if (last < first) return refuse(fmt::format("'{}' runs backwards", range));
    if (mask.size() <= last / 64) mask.resize(last / 64 + 1);
    for (unsigned cpu = first; cpu <= last; ++cpu) mask[cpu / 64] |= std::uint64_t{1} << cpu % 64;
  }
  return mask;
}

Result<void> apply_early_settings(pid_t pid, const oci::Process& process, bool exec) {
  if (process.oom_score_adj) {
    TRY(sys::write_file(fmt::format("/proc/{}/oom_score_adj", pid),
                        fmt::to_string(*process.oom_score_adj)));
  }
  if (exec && process.exec_cpu_affinity) {
    TRY(set_affinity(pid, process.exec_cpu_affinity->initial));
  }
  return {};
}

Result<void> apply_late_settings(pid_t pid, const oci::Process& process, bool exec) {
  for (const oci::Rlimit& limit : process.rlimits) TRY(set_rlimit(pid, limit));
  if (process.scheduler) TRY(set_scheduler(pid, *process.scheduler));
  if (process.io_priority) TRY(set_io_priority(pid, *process.io_priority));
  if (exec && process.exec_cpu_affinity) {
    TRY(set_affinity(pid, process.exec_cpu_affinity->final_));
  }
  return {};
}

}  // namespace agentvm::guest
