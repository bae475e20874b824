#include "guest-agent/network/name_port.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "guest-agent/bpf.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/names.h"

namespace agentvm::guest {

namespace {

enum class Family { ipv4, ipv6 };
enum class Way { to_resolver, from_resolver };

struct Hook {
  bpf_attach_type type;
  Family family;
  Way way;
};

// A datagram to a mapped address is one of IPv4 by the time it is sent.
constexpr std::array kHooks = {
    Hook{BPF_CGROUP_INET4_CONNECT, Family::ipv4, Way::to_resolver},
    Hook{BPF_CGROUP_INET6_CONNECT, Family::ipv6, Way::to_resolver},
    Hook{BPF_CGROUP_UDP4_SENDMSG, Family::ipv4, Way::to_resolver},
    Hook{BPF_CGROUP_UDP4_RECVMSG, Family::ipv4, Way::from_resolver},
    Hook{BPF_CGROUP_UDP6_RECVMSG, Family::ipv6, Way::from_resolver},
    Hook{BPF_CGROUP_INET4_GETPEERNAME, Family::ipv4, Way::from_resolver},
};

BpfProgram program_of(const Hook& hook) {
  return {"the program for the resolver's port", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, hook.type};
}

Result<std::uint64_t> own_network_namespace() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "open a socket");
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
    return fail_errno(errno, "ask for the network namespace's cookie");
  }
  return cookie;
}

// Collects the code; what does not match jumps to its end, which lets everything pass.
class Writer {
 public:
  void add(std::uint8_t code, std::uint8_t dst, std::uint8_t src, std::size_t offset,
           std::int32_t immediate) {
    code_.push_back(bpf_instruction(code, dst, src, offset, immediate));
  }
  void load(std::size_t offset) { add(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_6, offset, 0); }
  void unless_equal_pass(std::uint32_t value) {
    jumps_.push_back(code_.size());
    add(BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_2, 0, 0, static_cast<std::int32_t>(value));
  }
  void unless_same_pass(std::uint8_t one, std::uint8_t other) {
    jumps_.push_back(code_.size());
    add(BPF_JMP | BPF_JNE | BPF_X, one, other, 0, 0);
  }
  void load_constant(std::uint8_t to, std::uint64_t value) {
    add(BPF_LD | BPF_IMM | BPF_DW, to, 0, 0, static_cast<std::int32_t>(value & 0xffffffff));
    add(0, 0, 0, 0, static_cast<std::int32_t>(value >> 32));
  }
  std::vector<bpf_insn> finish() {
    for (const std::size_t at : jumps_) {
      code_[at].off = static_cast<std::int16_t>(code_.size() - at - 1);
    }
    add(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1);
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    return std::move(code_);
  }

 private:
  std::vector<bpf_insn> code_;
  std::vector<std::size_t> jumps_;
};

std::vector<bpf_insn> write_program(const Hook& hook, std::uint64_t cookie, std::uint16_t port) {
  const std::uint32_t address = htonl(rpc::kResolverAddress);
  std::uint16_t before = htons(rpc::kDnsPort);
  std::uint16_t after = htons(port);
  if (hook.way == Way::from_resolver) std::swap(before, after);
  Writer code;
  code.add(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
  if (hook.family == Family::ipv4) {
    code.load(offsetof(bpf_sock_addr, user_ip4));
    code.unless_equal_pass(address);
  } else {
    const std::array<std::uint32_t, 4> mapped{0, 0, htonl(0xffff), address};
    for (std::size_t i = mapped.size(); i-- > 0;) {
      code.load(offsetof(bpf_sock_addr, user_ip6) + i * sizeof mapped[i]);
      code.unless_equal_pass(mapped[i]);
    }
  }
  code.load(offsetof(bpf_sock_addr, user_port));
  code.unless_equal_pass(before);
  code.add(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_6, 0, 0);
  code.add(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_netns_cookie);
  code.load_constant(BPF_REG_2, cookie);
  code.unless_same_pass(BPF_REG_0, BPF_REG_2);
  code.add(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, after);
  code.add(BPF_STX | BPF_MEM | BPF_W, BPF_REG_6, BPF_REG_2, offsetof(bpf_sock_addr, user_port), 0);
  return code.finish();
}

}  // namespace

Result<NamePort> NamePort::create(const char* cgroup, std::uint16_t port) {
  NamePort made(TRY(sys::open_at(AT_FDCWD, cgroup, O_RDONLY | O_DIRECTORY)));
  const std::uint64_t cookie = TRY(own_network_namespace());
  for (const Hook& hook : kHooks) {
    auto program = TRY(load_program(program_of(hook), write_program(hook, cookie, port)));
    TRY(attach_program(program_of(hook), made.cgroup_.get(), program.get()));
    made.programs_.push_back(std::move(program));
  }
  return made;
}

NamePort::~NamePort() {
  for (std::size_t i = 0; i < programs_.size(); ++i) {
    detach_program(program_of(kHooks[i]), cgroup_.get(), programs_[i].get());
  }
}

}  // namespace agentvm::guest
