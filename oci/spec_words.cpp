#include "oci/spec_words.h"

#include <algorithm>
#include <array>

namespace agentvm::oci {

namespace {

using namespace std::string_view_literals;

constexpr std::array kNamespaces = std::to_array<JsonWord<NamespaceType>>({
    {"pid", NamespaceType::pid},
    {"network", NamespaceType::network},
    {"mount", NamespaceType::mount},
    {"ipc", NamespaceType::ipc},
    {"uts", NamespaceType::uts},
    {"user", NamespaceType::user},
    {"cgroup", NamespaceType::cgroup},
    {"time", NamespaceType::time},
});

constexpr std::array kCapabilities = {
    "CAP_CHOWN"sv,
    "CAP_DAC_OVERRIDE"sv,
    "CAP_DAC_READ_SEARCH"sv,
    "CAP_FOWNER"sv,
    "CAP_FSETID"sv,
    "CAP_KILL"sv,
    "CAP_SETGID"sv,
    "CAP_SETUID"sv,
    "CAP_SETPCAP"sv,
    "CAP_LINUX_IMMUTABLE"sv,
    "CAP_NET_BIND_SERVICE"sv,
    "CAP_NET_BROADCAST"sv,
    "CAP_NET_ADMIN"sv,
    "CAP_NET_RAW"sv,
    "CAP_IPC_LOCK"sv,
    "CAP_IPC_OWNER"sv,
    "CAP_SYS_MODULE"sv,
    "CAP_SYS_RAWIO"sv,
    "CAP_SYS_CHROOT"sv,
    "CAP_SYS_PTRACE"sv,
    "CAP_SYS_PACCT"sv,
    "CAP_SYS_ADMIN"sv,
    "CAP_SYS_BOOT"sv,
    "CAP_SYS_NICE"sv,
    "CAP_SYS_RESOURCE"sv,
    "CAP_SYS_TIME"sv,
    "CAP_SYS_TTY_CONFIG"sv,
    "CAP_MKNOD"sv,
    "CAP_LEASE"sv,
    "CAP_AUDIT_WRITE"sv,
    "CAP_AUDIT_CONTROL"sv,
    "CAP_SETFCAP"sv,
    "CAP_MAC_OVERRIDE"sv,
    "CAP_MAC_ADMIN"sv,
    "CAP_SYSLOG"sv,
    "CAP_WAKE_ALARM"sv,
    "CAP_BLOCK_SUSPEND"sv,
    "CAP_AUDIT_READ"sv,
    "CAP_PERFMON"sv,
    "CAP_BPF"sv,
    "CAP_CHECKPOINT_RESTORE"sv,
};

constexpr std::array kRlimits = {
    "RLIMIT_AS"sv,     "RLIMIT_CORE"sv,   "RLIMIT_CPU"sv,        "RLIMIT_DATA"sv,
    "RLIMIT_FSIZE"sv,  "RLIMIT_LOCKS"sv,  "RLIMIT_MEMLOCK"sv,    "RLIMIT_MSGQUEUE"sv,
    "RLIMIT_NICE"sv,   "RLIMIT_NOFILE"sv, "RLIMIT_NPROC"sv,      "RLIMIT_RSS"sv,
    "RLIMIT_RTPRIO"sv, "RLIMIT_RTTIME"sv, "RLIMIT_SIGPENDING"sv, "RLIMIT_STACK"sv,
};

constexpr std::array kHooks = {"prestart"sv,       "createRuntime"sv, "createContainer"sv,
                               "startContainer"sv, "poststart"sv,     "poststop"sv};

// The specification has four; runc takes the recursive ones too and Docker sends them.
constexpr std::array kPropagations = {"private"sv, "rprivate"sv, "slave"sv,      "rslave"sv,
                                      "shared"sv,  "rshared"sv,  "unbindable"sv, "runbindable"sv};

constexpr std::array kPolicies = {"SCHED_OTHER"sv,   "SCHED_FIFO"sv, "SCHED_RR"sv,
                                  "SCHED_BATCH"sv,   "SCHED_ISO"sv,  "SCHED_IDLE"sv,
                                  "SCHED_DEADLINE"sv};

constexpr std::array kSchedulerFlags = {"SCHED_FLAG_RESET_ON_FORK"sv, "SCHED_FLAG_RECLAIM"sv,
                                        "SCHED_FLAG_DL_OVERRUN"sv,    "SCHED_FLAG_KEEP_POLICY"sv,
                                        "SCHED_FLAG_KEEP_PARAMS"sv,   "SCHED_FLAG_UTIL_CLAMP_MIN"sv,
                                        "SCHED_FLAG_UTIL_CLAMP_MAX"sv};

constexpr std::array kIoClasses = {"IOPRIO_CLASS_RT"sv, "IOPRIO_CLASS_BE"sv, "IOPRIO_CLASS_IDLE"sv};

constexpr std::array kDomains = {"LINUX"sv, "LINUX32"sv};

constexpr std::array kDeviceTypes = {"c"sv, "b"sv, "u"sv, "p"sv};
constexpr std::array kDeviceRuleTypes = {"a"sv, "c"sv, "b"sv};

constexpr std::array kActions = {
    "SCMP_ACT_ALLOW"sv,        "SCMP_ACT_ERRNO"sv,       "SCMP_ACT_KILL"sv,
    "SCMP_ACT_KILL_PROCESS"sv, "SCMP_ACT_KILL_THREAD"sv, "SCMP_ACT_LOG"sv,
    "SCMP_ACT_NOTIFY"sv,       "SCMP_ACT_TRACE"sv,       "SCMP_ACT_TRAP"sv};

constexpr std::array kOperators = {"SCMP_CMP_EQ"sv, "SCMP_CMP_GE"sv, "SCMP_CMP_GT"sv,
                                   "SCMP_CMP_LE"sv, "SCMP_CMP_LT"sv, "SCMP_CMP_MASKED_EQ"sv,
                                   "SCMP_CMP_NE"sv};

constexpr std::array kArchs = {
    "SCMP_ARCH_AARCH64"sv,     "SCMP_ARCH_ARM"sv,    "SCMP_ARCH_LOONGARCH64"sv,
    "SCMP_ARCH_M68K"sv,        "SCMP_ARCH_MIPS"sv,   "SCMP_ARCH_MIPS64"sv,
    "SCMP_ARCH_MIPS64N32"sv,   "SCMP_ARCH_MIPSEL"sv, "SCMP_ARCH_MIPSEL64"sv,
    "SCMP_ARCH_MIPSEL64N32"sv, "SCMP_ARCH_PARISC"sv, "SCMP_ARCH_PARISC64"sv,
    "SCMP_ARCH_PPC"sv,         "SCMP_ARCH_PPC64"sv,  "SCMP_ARCH_PPC64LE"sv,
    "SCMP_ARCH_RISCV64"sv,     "SCMP_ARCH_S390"sv,   "SCMP_ARCH_S390X"sv,
    "SCMP_ARCH_SH"sv,          "SCMP_ARCH_SHEB"sv,   "SCMP_ARCH_X32"sv,
    "SCMP_ARCH_X86"sv,         "SCMP_ARCH_X86_64"sv};

constexpr std::array kSeccompFlags = {"SECCOMP_FILTER_FLAG_TSYNC"sv, "SECCOMP_FILTER_FLAG_LOG"sv,
                                      "SECCOMP_FILTER_FLAG_SPEC_ALLOW"sv,
                                      "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"sv};

constexpr std::array kImageFormats = {"raw"sv, "qcow2"sv, "vdi"sv, "vmdk"sv, "vhd"sv};

}  // namespace

std::span<const JsonWord<NamespaceType>> json_words(NamespaceType) {
  return kNamespaces;
}

Words capability_names() {
  return kCapabilities;
}
Words rlimit_names() {
  return kRlimits;
}
Words hook_names() {
  return kHooks;
}
Words rootfs_propagations() {
  return kPropagations;
}
Words scheduler_policies() {
  return kPolicies;
}
Words scheduler_flags() {
  return kSchedulerFlags;
}
Words io_priority_classes() {
  return kIoClasses;
}
Words personality_domains() {
  return kDomains;
}
Words device_types() {
  return kDeviceTypes;
}
Words device_rule_types() {
  return kDeviceRuleTypes;
}
Words seccomp_actions() {
  return kActions;
}
Words seccomp_operators() {
  return kOperators;
}
Words seccomp_archs() {
  return kArchs;
}
Words seccomp_flags() {
  return kSeccompFlags;
}
Words image_formats() {
  return kImageFormats;
}

bool is_word(Words words, std::string_view text) {
  return std::ranges::find(words, text) != words.end();
}

}  // namespace agentvm::oci
