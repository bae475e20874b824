// The probe runs in a child: a KVM that does not stop is killed from outside.
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>

#include "oci/base/sys.h"
#include "vmm/accelerator.h"
#include "vmm/kvm_probe_guest.h"

namespace agentvm::vmm {

namespace {

using Clock = std::chrono::steady_clock;
using Layout = KvmProbeLayout;

constexpr int kBoundMs = 200;
constexpr std::uint32_t kMostCpuidEntries = 256;

// What the child tells; from there on `step` names the call that failed.
struct Report {
  enum class Step : std::uint8_t {
    version,
    make_vm,
    memory,
    make_vcpu,
    cpuid,
    registers,
    run,
    done,
  };
  Step step = Step::version;
  int errnum = 0;
  KvmProbeExit exit;
};

// kvm_cpuid2 with room for its entries.
struct CpuidTable {
  alignas(kvm_cpuid2)
      std::byte bytes[sizeof(kvm_cpuid2) + kMostCpuidEntries * sizeof(kvm_cpuid_entry2)];
};

kvm_segment make_segment(std::uint16_t selector, std::uint8_t type, bool code) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.db = code ? 0 : 1;
  segment.s = 1;
  segment.l = code ? 1 : 0;
  segment.g = 1;
  return segment;
}

void enter_long_mode(kvm_sregs& registers) {
  constexpr std::uint64_t kCr0 = 0x80010033;  // PG, WP, NE, ET, MP, PE
  constexpr std::uint64_t kCr4 = 0x20;        // PAE
  constexpr std::uint64_t kEfer = 0x500;      // LMA, LME
  constexpr std::uint8_t kCodeType = 0xb;
  constexpr std::uint8_t kDataType = 0x3;
  registers.cr0 = kCr0;
  registers.cr3 = Layout::kPml4;
  registers.cr4 = kCr4;
  registers.efer = kEfer;
  registers.cs = make_segment(Layout::kCodeSelector, kCodeType, true);
  registers.ds = make_segment(Layout::kDataSelector, kDataType, false);
  registers.es = registers.fs = registers.gs = registers.ss = registers.ds;
  registers.gdt.base = Layout::kGdt;
  registers.gdt.limit = Layout::kGdtLimit;
  registers.idt.base = Layout::kIdt;
  registers.idt.limit = Layout::kIdtLimit;
}

// The guest, built and run with system calls alone: this is a forked child.
class Guest {
 public:
  explicit Guest(int kvm) : kvm_(kvm) {}

  Report run() {
    (void)(check_version() && make_vm() && make_vcpu() && set_registers() && enter());
    return report_;
  }

 private:
  // Keeps errno with the step that it belongs to.
  bool need(bool done, Report::Step step) {
    report_.step = step;
    report_.errnum = done ? 0 : errno;
    return done;
  }

  bool check_version() {
    return need(::ioctl(kvm_, KVM_GET_API_VERSION, 0) == KVM_API_VERSION, Report::Step::version);
  }

  bool make_vm() {
    vm_ = ::ioctl(kvm_, KVM_CREATE_VM, 0);
    if (!need(vm_ >= 0, Report::Step::make_vm)) return false;
    // Only processors without unrestricted guests want it; the others do not mind.
    (void)::ioctl(vm_, KVM_SET_TSS_ADDR, 0xfffbd000UL);
    memory_ =
        ::mmap(nullptr, Layout::kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!need(memory_ != MAP_FAILED, Report::Step::memory)) return false;
    lay_out_kvm_probe({static_cast<std::byte*>(memory_), Layout::kSize});
    kvm_userspace_memory_region region{};
    region.memory_size = Layout::kSize;
    region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory_);
    return need(::ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region) == 0, Report::Step::memory);
  }

  bool make_vcpu() {
    vcpu_ = ::ioctl(vm_, KVM_CREATE_VCPU, 0);
    if (!need(vcpu_ >= 0, Report::Step::make_vcpu)) return false;
    const int size = ::ioctl(kvm_, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (!need(size >= static_cast<int>(sizeof(kvm_run)), Report::Step::make_vcpu)) return false;
    void* run = ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE, MAP_SHARED,
                       vcpu_, 0);
    if (!need(run != MAP_FAILED, Report::Step::make_vcpu)) return false;
    run_ = static_cast<kvm_run*>(run);
    CpuidTable table{};
    std::memcpy(table.bytes, &kMostCpuidEntries, sizeof kMostCpuidEntries);  // nent
    return need(::ioctl(kvm_, KVM_GET_SUPPORTED_CPUID, table.bytes) == 0 &&
                    ::ioctl(vcpu_, KVM_SET_CPUID2, table.bytes) == 0,
                Report::Step::cpuid);
  }

  bool set_registers() {
    kvm_sregs special{};
    if (!need(::ioctl(vcpu_, KVM_GET_SREGS, &special) == 0, Report::Step::registers)) return false;
    enter_long_mode(special);
    kvm_regs general{};
    general.rip = Layout::kCode;
    general.rsp = Layout::kStackTop;
    general.rflags = 2;  // the bit that is always set
    return need(
        ::ioctl(vcpu_, KVM_SET_SREGS, &special) == 0 && ::ioctl(vcpu_, KVM_SET_REGS, &general) == 0,
        Report::Step::registers);
  }

  bool enter() {
    int entered = ::ioctl(vcpu_, KVM_RUN, 0);
    while (entered != 0 && errno == EINTR) entered = ::ioctl(vcpu_, KVM_RUN, 0);
    if (!need(entered == 0, Report::Step::run)) return false;
    report_.step = Report::Step::done;
    KvmProbeExit& exit = report_.exit;
    exit.reason = run_->exit_reason;
    if (exit.reason == KVM_EXIT_IO) {
      exit.io_out = run_->io.direction == KVM_EXIT_IO_OUT;
      exit.io_port = run_->io.port;
      exit.io_value = *(reinterpret_cast<const std::uint8_t*>(run_) + run_->io.data_offset);
    } else if (exit.reason == KVM_EXIT_INTERNAL_ERROR) {
      exit.suberror = run_->internal.suberror;
    } else if (exit.reason == KVM_EXIT_FAIL_ENTRY) {
      exit.hardware_reason = run_->fail_entry.hardware_entry_failure_reason;
    }
    return true;
  }

  int kvm_;
  int vm_ = -1;
  int vcpu_ = -1;
  void* memory_ = nullptr;
  kvm_run* run_ = nullptr;
  Report report_;
};

KvmProbe unusable(std::string reason) {
  return {false, std::move(reason), 0, false};
}

std::string group_to_join(const std::string& device) {
  struct stat status{};
  if (::stat(device.c_str(), &status) != 0) return "";
  const group* owner = ::getgrgid(status.st_gid);
  if (owner == nullptr || status.st_gid == 0) return "";
  return fmt::format(": add the user to group {} (usermod -aG {})", owner->gr_name, owner->gr_name);
}

KvmProbe explain_open(int errnum, const std::string& device) {
  switch (errnum) {
    case ENOENT:
    case ENOTDIR:
      return unusable(fmt::format(
          "there is no {}: the kernel has no KVM module loaded, or this machine is itself a VM or "
          "container without virtualization",
          device));
    case EACCES:
    case EPERM:
      return unusable(fmt::format("{} may not be opened{}", device, group_to_join(device)));
    case ENODEV:
    case ENXIO:
      return unusable(fmt::format(
          "{} has no driver behind it: virtualization is disabled in the firmware, or the module "
          "kvm_intel or kvm_amd is not loaded",
          device));
    default:
      return unusable(fmt::format("{} cannot be opened: {}", device, ::strerrordesc_np(errnum)));
  }
}

std::string_view name_of(Report::Step step) {
  switch (step) {
    case Report::Step::version:
      return "tell its API version";
    case Report::Step::make_vm:
      return "make a VM";
    case Report::Step::memory:
      return "give it memory";
    case Report::Step::make_vcpu:
      return "make a vCPU";
    case Report::Step::cpuid:
      return "set its CPUID";
    case Report::Step::registers:
      return "set its registers";
    case Report::Step::run:
      return "run it";
    case Report::Step::done:
      return "report";
  }
  return "";
}

KvmProbe explain(const Report& report, const std::string& device) {
  if (report.step == Report::Step::done) return interpret_kvm_probe(report.exit, device);
  if (report.step == Report::Step::version) {
    return unusable(fmt::format("{} is no KVM device of API version 12", device));
  }
  return unusable(fmt::format("{} opens but fails to {}: {}", device, name_of(report.step),
                              ::strerrordesc_np(report.errnum)));
}

// A child that nobody has reaped, so that its pid names it.
struct Reaper {
  pid_t pid;
  ~Reaper() {
    (void)::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
};

KvmProbe run_probe(int kvm, const std::string& device) {
  auto ends = sys::pipe();
  if (!ends) return unusable(fmt::format("probe {}: {}", device, ends.error().text()));
  const pid_t pid = ::fork();
  if (pid < 0) return unusable(fmt::format("probe {}: no process for it", device));
  if (pid == 0) {
    const Report report = Guest(kvm).run();
    (void)!::write(ends->second.get(), &report, sizeof report);
    ::_exit(0);
  }
  ends->second.reset();
  const Reaper reaper{pid};
  pollfd watched{ends->first.get(), POLLIN, 0};
  int ready = ::poll(&watched, 1, kBoundMs);
  while (ready < 0 && errno == EINTR) ready = ::poll(&watched, 1, kBoundMs);
  if (ready == 0) {
    return unusable(
        fmt::format("{} opens but its guest did not finish in {} ms (software KVM, or "
                    "a host under heavy load)",
                    device, kBoundMs));
  }
  Report report;
  if (::read(ends->first.get(), &report, sizeof report) != sizeof report) {
    return unusable(fmt::format("{} opens but the probe's process died in it", device));
  }
  return explain(report, device);
}

}  // namespace

KvmProbe probe_kvm(const std::string& kvm_device) {
  const auto begin = Clock::now();
  const UniqueFd kvm(::open(kvm_device.c_str(), O_RDWR | O_CLOEXEC));
  KvmProbe probe = kvm ? run_probe(kvm.get(), kvm_device) : explain_open(errno, kvm_device);
  probe.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return probe;
}

}  // namespace agentvm::vmm
