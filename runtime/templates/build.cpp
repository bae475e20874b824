#include "runtime/templates/build.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "rpc/guest_contract.h"
#include "runtime/mount_namespace.h"
#include "runtime/orphan.h"
#include "vmm/guest_memory.h"
#include "vmm/slots.h"
#include "vmm/template/builder.h"

namespace agentvm::runtime {

namespace {

static_assert(rpc::kFirstSlotDevice == vmm::kFirstSlotDevice);
static_assert(rpc::kVsockSlot == vmm::kVsockSlot && rpc::kSharedSlot == vmm::kSharedSlot);

constexpr const char* kMemoryDirectory = "ram";  // in the draft

// The draft's directory with a tmpfs for the guest's memory, gone with the object.
class MemoryDirectory {
 public:
  static Result<MemoryDirectory> create(int draft, std::string path, std::uint64_t memory_mib) {
    if (::mkdirat(draft, kMemoryDirectory, 0711) != 0) {
      return fail_errno(errno, fmt::format("make '{}'", path));
    }
    TRY(vmm::mount_guest_memory(path, memory_mib));
    return MemoryDirectory(std::move(path));
  }
  MemoryDirectory(MemoryDirectory&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  MemoryDirectory& operator=(MemoryDirectory&&) = delete;
  ~MemoryDirectory() {
    if (path_.empty()) return;
    (void)::umount2(path_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    (void)::rmdir(path_.c_str());
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit MemoryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

Result<vmm::TemplateManifest> build_into(vmm::MachineConfig machine,
                                         const vmm::TemplateStore& store,
                                         const vmm::TemplateDraft& draft) {
  const vmm::MachineConfig asked = machine;
  vmm::TemplateOrder order;
  order.key = TRY(vmm::make_template_key(asked)).text;
  TRY(enter_own_mounts());
  const auto memory = TRY(MemoryDirectory::create(
      draft.directory.get(),
      fmt::format("{}/{}.new/{}", store.path(), draft.name, kMemoryDirectory), machine.memory_mib));
  machine.start = vmm::MachineStart::make_template;
  machine.memory_file = memory.path() + "/memory";
  machine.kernel_parameters += machine.kernel_parameters.empty() ? "" : " ";
  machine.kernel_parameters += rpc::kTemplateWord;
  order.machine = std::move(machine);
  order.ready = rpc::kTemplateReady;
  order.directory = draft.directory.get();
  asio::io_context io(1);
  auto manifest = TRY(run_to_end(io, vmm::build_template(std::move(order))));
  if (TRY(vmm::make_template_key(asked)).text != manifest.key) {
    return fail(ErrorKind::failed_precondition,
                "QEMU, the kernel or the initramfs changed while the template was built");
  }
  return manifest;
}

[[noreturn]] void be_the_builder(const Config& config, vmm::MachineConfig machine,
                                 const vmm::TemplateStore& store, vmm::TemplateDraft draft) {
  live_on_unseen(fmt::format("agentvm: builds template {}", draft.name));
  constexpr int kLeast = 19;
  (void)::setpriority(PRIO_PROCESS, 0, kLeast);
  const auto built = build_template(config, std::move(machine), store, std::move(draft));
  ::_exit(built ? 0 : 1);
}

}  // namespace

Result<vmm::TemplateManifest> build_template(const Config& config, vmm::MachineConfig machine,
                                             const vmm::TemplateStore& store,
                                             vmm::TemplateDraft draft) {
  auto manifest = build_into(std::move(machine), store, draft);
  if (!manifest) {
    store.discard(std::move(draft), manifest.error().text());
    return manifest;
  }
  TRY(store.publish(std::move(draft), *manifest));
  if (auto pruned = store.prune(config.templates.keep); !pruned) {
    log::warning("templates: {}", pruned.error().text());
  }
  return manifest;
}

Result<void> build_in_background(const Config& config, const vmm::MachineConfig& machine,
                                 const vmm::TemplateStore& store, vmm::TemplateDraft draft) {
  TRY(spawn_orphan([&] { be_the_builder(config, machine, store, std::move(draft)); }),
      "start the builder");
  return {};
}

}  // namespace agentvm::runtime
