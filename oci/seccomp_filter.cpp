#include "oci/seccomp_filter.h"

#include <fmt/format.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <set>
#include <string_view>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/seccomp_newer_calls.h"

namespace agentvm::oci {

namespace {

// seccomp_api_get(3): all that Linux 6.1 has.
constexpr unsigned kGuestApi = 6;

using Context = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

template <class T>
struct Word {
  std::string_view word;
  T value;
};

template <class T, std::size_t N>
const T* find_word(const std::array<Word<T>, N>& table, std::string_view word) {
  const auto row = std::ranges::find(table, word, &Word<T>::word);
  return row == table.end() ? nullptr : &row->value;
}

constexpr std::array kOperators = std::to_array<Word<scmp_compare>>({
    {"SCMP_CMP_NE", SCMP_CMP_NE},
    {"SCMP_CMP_LT", SCMP_CMP_LT},
    {"SCMP_CMP_LE", SCMP_CMP_LE},
    {"SCMP_CMP_EQ", SCMP_CMP_EQ},
    {"SCMP_CMP_GE", SCMP_CMP_GE},
    {"SCMP_CMP_GT", SCMP_CMP_GT},
    {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
});

constexpr std::array kFlags = std::to_array<Word<unsigned>>({
    {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0},  // means something with a listener only
});

std::unexpected<Error> refuse(std::string text) {
  return fail(ErrorKind::invalid_argument, "linux.seccomp: " + std::move(text));
}

Result<std::uint32_t> action_of(const std::string& word, const std::optional<std::uint32_t>& ret) {
  const std::uint32_t value = ret.value_or(EPERM);
  if (word == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (word == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(value);
  if (word == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(value);
  if (word == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (word == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (word == "SCMP_ACT_KILL" || word == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (word == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (word == "SCMP_ACT_NOTIFY") {
    return refuse("SCMP_ACT_NOTIFY is not supported: nothing outside the VM can answer for it");
  }
  return refuse(fmt::format("unknown action '{}'", word));
}

// "SCMP_ARCH_X86_64" → libseccomp's token; 0 for what it does not know.
std::uint32_t arch_of(std::string_view word) {
  std::string name(word.substr(word.rfind("ARCH_") + 5));
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return ::seccomp_arch_resolve_name(name.c_str());
}

Result<std::vector<std::uint32_t>> add_architectures(scmp_filter_ctx context,
                                                     const Seccomp& seccomp) {
  std::vector<std::uint32_t> archs{::seccomp_arch_native()};
  for (const std::string& word : seccomp.architectures) {
    const std::uint32_t arch = arch_of(word);
    if (arch == 0 || std::ranges::find(archs, arch) != archs.end()) continue;
    const int outcome = ::seccomp_arch_add(context, arch);
    // Of another byte order than this machine: no process here can have it.
    if (outcome == -EDOM) continue;
    if (outcome != 0) return fail_errno(-outcome, fmt::format("linux.seccomp: add '{}'", word));
    archs.push_back(arch);
  }
  return archs;
}

Result<scmp_arg_cmp> comparison_of(const SeccompArg& arg) {
  const auto* op = find_word(kOperators, arg.op);
  if (op == nullptr) return refuse(fmt::format("unknown operator '{}'", arg.op));
  if (arg.index > 5) return refuse(fmt::format("argument index {} is above 5", arg.index));
  return scmp_arg_cmp{arg.index, *op, arg.value, arg.value_two};
}

Result<void> add_rule(scmp_filter_ctx context, const std::string& name, std::uint32_t action,
                      const std::vector<scmp_arg_cmp>& args) {
  const int call = ::seccomp_syscall_resolve_name(name.c_str());
  if (call == __NR_SCMP_ERROR) return {};
  const int outcome = ::seccomp_rule_add_array(context, action, call,
                                               static_cast<unsigned>(args.size()), args.data());
  if (outcome != 0) return fail_errno(-outcome, fmt::format("linux.seccomp: rule for '{}'", name));
  return {};
}

Result<void> add_rules(scmp_filter_ctx context, const SeccompSyscall& rules,
                       std::uint32_t default_action) {
  const std::uint32_t action = TRY(action_of(rules.action, rules.errno_ret));
  if (action == default_action) return {};
  std::vector<scmp_arg_cmp> args;
  std::set<std::uint32_t> indexes;
  for (const SeccompArg& arg : rules.args) {
    const scmp_arg_cmp comparison = TRY(comparison_of(arg));
    args.push_back(comparison);
    indexes.insert(arg.index);
  }
  const bool alternatives = indexes.size() < args.size();
  for (const std::string& name : rules.names) {
    if (!alternatives) {
      TRY(add_rule(context, name, action, args));
      continue;
    }
    for (const scmp_arg_cmp& arg : args) TRY(add_rule(context, name, action, {arg}));
  }
  return {};
}

Result<std::vector<sock_filter>> exported(scmp_filter_ctx context) {
  const UniqueFd file(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return fail_errno(errno, "linux.seccomp: memory for the program");
  const int outcome = ::seccomp_export_bpf(context, file.get());
  if (outcome != 0) return fail_errno(-outcome, "linux.seccomp: compile");
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "linux.seccomp: compile");
  const std::string bytes = TRY(sys::read_all(file.get(), BPF_MAXINSNS * sizeof(sock_filter)),
                                "linux.seccomp: the profile is too large for the kernel");
  std::vector<sock_filter> program(bytes.size() / sizeof(sock_filter));
  std::memcpy(program.data(), bytes.data(), program.size() * sizeof(sock_filter));
  return program;
}

Result<unsigned> flags_of(const Seccomp& seccomp) {
  unsigned flags = 0;
  for (const std::string& word : seccomp.flags) {
    const unsigned* flag = find_word(kFlags, word);
    if (flag == nullptr) return refuse(fmt::format("unknown flag '{}'", word));
    flags |= *flag;
  }
  return flags;
}

bool is_error(std::uint32_t action) {
  return (action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO &&
         action != SCMP_ACT_ERRNO(ENOSYS);
}

}  // namespace

Result<SeccompFilter> compile_seccomp(const Seccomp& seccomp) {
  if (!seccomp.listener_path.empty()) {
    return refuse("listenerPath is not supported: nothing outside the VM can serve it");
  }
  // What the library may use: not what this kernel has, but the guest's.
  (void)::seccomp_api_set(kGuestApi);
  SeccompFilter filter;
  filter.flags = TRY(flags_of(seccomp));
  const std::uint32_t standard =
      TRY(action_of(seccomp.default_action, seccomp.default_errno_ret), "defaultAction");
  const Context context(::seccomp_init(standard), ::seccomp_release);
  if (!context) return refuse("the default action is not one of this kernel");
  const auto archs = TRY(add_architectures(context.get(), seccomp));
  // A binary tree by call number instead of a list: every system call passes through it.
  (void)::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const SeccompSyscall& rules : seccomp.syscalls) {
    TRY(add_rules(context.get(), rules, standard));
  }
  filter.program = TRY(exported(context.get()));
  if (is_error(standard)) {
    const auto prologue = refuse_newer_calls(archs, seccomp);
    filter.program.insert(filter.program.begin(), prologue.begin(), prologue.end());
  }
  if (filter.program.size() > BPF_MAXINSNS) {
    return refuse("the profile is too large for the kernel");
  }
  return filter;
}

}  // namespace agentvm::oci
