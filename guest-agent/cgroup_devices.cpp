#include "guest-agent/cgroup_devices.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "guest-agent/bpf.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

using Type = DevicePolicy::Type;
using Which = DevicePolicy::Which;

constexpr std::size_t kMaxRules = 4096;
constexpr std::size_t kMaxLoaded = 8;
constexpr std::uint32_t kRead = BPF_DEVCG_ACC_READ;
constexpr std::uint32_t kWrite = BPF_DEVCG_ACC_WRITE;
constexpr std::uint32_t kMknod = BPF_DEVCG_ACC_MKNOD;
constexpr std::uint32_t kAll = kRead | kWrite | kMknod;

struct Allowed {
  Which which;
  std::uint32_t access;
};

// runc's AllowedDevices: the devices every container is given, and mknod, which grants no access.
constexpr std::array kAlwaysAllowed = {
    Allowed{{Type::character, DevicePolicy::kAny, DevicePolicy::kAny}, kMknod},
    Allowed{{Type::block, DevicePolicy::kAny, DevicePolicy::kAny}, kMknod},
    Allowed{{Type::character, 1, 3}, kAll},                     // null
    Allowed{{Type::character, 1, 8}, kAll},                     // random
    Allowed{{Type::character, 1, 7}, kAll},                     // full
    Allowed{{Type::character, 5, 0}, kAll},                     // tty
    Allowed{{Type::character, 1, 5}, kAll},                     // zero
    Allowed{{Type::character, 1, 9}, kAll},                     // urandom
    Allowed{{Type::character, 136, DevicePolicy::kAny}, kAll},  // pts
    Allowed{{Type::character, 5, 2}, kAll},                     // ptmx
};

std::unexpected<Error> wrong(std::string_view why) {
  return fail(ErrorKind::invalid_argument, fmt::format("/linux/resources/devices: {}", why));
}

Result<std::uint32_t> parse_access(std::string_view access) {
  if (access.empty()) return kAll;
  std::uint32_t bits = 0;
  for (const char letter : access) {
    switch (letter) {
      case 'r':
        bits |= kRead;
        break;
      case 'w':
        bits |= kWrite;
        break;
      case 'm':
        bits |= kMknod;
        break;
      default:
        return wrong(fmt::format("access '{}' is not made of r, w and m", access));
    }
  }
  return bits;
}

Result<std::int64_t> parse_number(std::optional<std::int64_t> number) {
  if (!number || *number == DevicePolicy::kAny) return DevicePolicy::kAny;
  if (*number < 0 || *number > 0xffffffff) {
    return wrong(fmt::format("{} is not a device number", *number));
  }
  return *number;
}

void add_exception(DevicePolicy& policy, const Which& which, std::uint32_t access) {
  policy.exceptions[which] |= access;
}

Result<void> remove_exception(DevicePolicy& policy, const Which& which, std::uint32_t access) {
  for (const Which& wider : {Which{which.type, DevicePolicy::kAny, which.minor},
                             Which{which.type, which.major, DevicePolicy::kAny},
                             Which{which.type, DevicePolicy::kAny, DevicePolicy::kAny}}) {
    if (wider == which) continue;
    const auto found = policy.exceptions.find(wider);
    if (found != policy.exceptions.end() && (found->second & access) != 0) {
      return wrong(
          fmt::format("the rule for {}:{} would punch a hole into an earlier wildcard rule",
                      which.major, which.minor));
    }
  }
  const auto found = policy.exceptions.find(which);
  if (found == policy.exceptions.end()) return {};
  found->second &= ~access;
  if (found->second == 0) policy.exceptions.erase(found);
  return {};
}

Result<void> apply(DevicePolicy& policy, const oci::DeviceRule& rule) {
  if (rule.type.empty() || rule.type == "a") {
    policy = DevicePolicy{rule.allow, {}};
    return {};
  }
  if (rule.type != "c" && rule.type != "b") {
    return wrong(fmt::format("type '{}' is none of a, b and c", rule.type));
  }
  Which which;
  which.type = rule.type == "b" ? Type::block : Type::character;
  which.major = TRY(parse_number(rule.major));
  which.minor = TRY(parse_number(rule.minor));
  const std::uint32_t access = TRY(parse_access(rule.access));
  if (rule.allow == policy.default_allow) return remove_exception(policy, which, access);
  add_exception(policy, which, access);
  return {};
}

constexpr BpfProgram kProgram{"the device program", BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE};

constexpr auto insn = bpf_instruction;

// Registers, after the prologue.
constexpr std::uint8_t kResult = BPF_REG_0;
constexpr std::uint8_t kScratch = BPF_REG_1;
constexpr std::uint8_t kType = BPF_REG_2;
constexpr std::uint8_t kAccess = BPF_REG_3;
constexpr std::uint8_t kMajor = BPF_REG_4;
constexpr std::uint8_t kMinor = BPF_REG_5;

void append_return(std::vector<bpf_insn>& code, bool allow) {
  code.push_back(insn(BPF_ALU | BPF_MOV | BPF_K, kResult, 0, 0, allow ? 1 : 0));
  code.push_back(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

// One block per exception: fall through to "return !default" when everything matches, otherwise
// jump behind the block.
void append_exception(std::vector<bpf_insn>& code, const Which& which, std::uint32_t access,
                      bool allow) {
  std::vector<bpf_insn> block;
  const int type = which.type == Type::block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
  block.push_back(insn(BPF_JMP32 | BPF_JNE | BPF_K, kType, 0, 0, type));
  if (access != kAll) {
    block.push_back(insn(BPF_ALU | BPF_MOV | BPF_X, kScratch, kAccess, 0, 0));
    block.push_back(
        insn(BPF_ALU | BPF_AND | BPF_K, kScratch, 0, 0, static_cast<std::int32_t>(access)));
    block.push_back(allow ? insn(BPF_JMP32 | BPF_JNE | BPF_X, kScratch, kAccess, 0, 0)
                          : insn(BPF_JMP32 | BPF_JEQ | BPF_K, kScratch, 0, 0, 0));
  }
  if (which.major != DevicePolicy::kAny) {
    block.push_back(insn(BPF_JMP32 | BPF_JNE | BPF_K, kMajor, 0, 0,
                         static_cast<std::int32_t>(static_cast<std::uint32_t>(which.major))));
  }
  if (which.minor != DevicePolicy::kAny) {
    block.push_back(insn(BPF_JMP32 | BPF_JNE | BPF_K, kMinor, 0, 0,
                         static_cast<std::int32_t>(static_cast<std::uint32_t>(which.minor))));
  }
  append_return(block, allow);
  for (std::size_t i = 0; i < block.size(); ++i) {
    const bool jumps = BPF_CLASS(block[i].code) == BPF_JMP32;
    if (jumps) block[i].off = static_cast<std::int16_t>(block.size() - i - 1);
  }
  code.insert(code.end(), block.begin(), block.end());
}

}  // namespace

Result<DevicePolicy> device_policy(std::span<const oci::DeviceRule> rules) {
  if (rules.size() > kMaxRules) return wrong(fmt::format("more than {} rules", kMaxRules));
  DevicePolicy policy;
  for (const oci::DeviceRule& rule : rules) TRY(apply(policy, rule));
  for (const Allowed& allowed : kAlwaysAllowed) {
    if (policy.default_allow) {
      TRY(remove_exception(policy, allowed.which, allowed.access));
    } else {
      add_exception(policy, allowed.which, allowed.access);
    }
  }
  return policy;
}

std::vector<bpf_insn> device_program(const DevicePolicy& policy) {
  std::vector<bpf_insn> code;
  const auto load = [&](std::uint8_t to, std::size_t offset) {
    code.push_back(insn(BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_1, offset, 0));
  };
  load(kType, offsetof(bpf_cgroup_dev_ctx, access_type));
  load(kMajor, offsetof(bpf_cgroup_dev_ctx, major));
  load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor));
  // access_type is (access << 16) | type.
  code.push_back(insn(BPF_ALU | BPF_MOV | BPF_X, kAccess, kType, 0, 0));
  code.push_back(insn(BPF_ALU | BPF_RSH | BPF_K, kAccess, 0, 0, 16));
  code.push_back(insn(BPF_ALU | BPF_AND | BPF_K, kType, 0, 0, 0xffff));
  for (const auto& [which, access] : policy.exceptions) {
    append_exception(code, which, access, !policy.default_allow);
  }
  append_return(code, policy.default_allow);
  return code;
}

Result<UniqueFd> load_device_program(std::span<const bpf_insn> program) {
  return load_program(kProgram, program);
}

DevicePrograms::DevicePrograms() {
  const auto policy = device_policy({});
  if (policy) (void)load(device_program(*policy));
}

Result<std::shared_ptr<const UniqueFd>> DevicePrograms::load(std::vector<bpf_insn> program) {
  const auto same = [&](const Loaded& loaded) {
    return std::ranges::equal(loaded.program, program,
                              [](const bpf_insn& one, const bpf_insn& two) {
                                return std::memcmp(&one, &two, sizeof one) == 0;
                              });
  };
  if (const auto found = std::ranges::find_if(loaded_, same); found != loaded_.end()) {
    return found->fd;
  }
  auto fd = std::make_shared<const UniqueFd>(TRY(load_device_program(program)));
  if (loaded_.size() == kMaxLoaded) loaded_.pop_front();
  loaded_.push_back({std::move(program), fd});
  return fd;
}

Result<void> attach_device_program(int cgroup_fd, int program, std::optional<int> replaced) {
  return attach_program(kProgram, cgroup_fd, program, replaced);
}

}  // namespace agentvm::guest
