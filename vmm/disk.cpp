#include "vmm/disk.h"

#include <cerrno>
#include <cstring>

#include "oci/base/try.h"
#include "vmm/slots.h"

namespace agentvm::vmm {

namespace {

constexpr const char* kNode = "disk-image";
constexpr const char* kDevice = "disk";

QmpDevice disk_device() {
  QmpDevice device{"virtio-blk-pci", kDevice, slot_name(kDiskSlot), {}};
  device.properties.emplace_back("drive", kNode);
  device.properties.emplace_back("serial", "agentvm");
  // The default is to stop the machine when the host's file system is full: a container that hangs
  // without a word.
  device.properties.emplace_back("werror", "report");
  device.properties.emplace_back("rerror", "report");
  return device;
}

void tell_failure(Qmp& qmp, std::function<void(std::string)> failed) {
  if (!failed) return;
  qmp.on_event([failed = std::move(failed), told = false](const QmpEvent& event) mutable {
    if (event.kind != QmpEventKind::block_io_error || told) return;
    told = true;
    // Its member "nospace" is set only where QEMU stops the machine.
    failed(event.reason == std::strerror(ENOSPC)
               ? "the host's file system is full: the guest gets errors from its disk"
               : "the host cannot read or write the disk: the guest gets errors from it");
  });
}

}  // namespace

Task<void> plug_disk(Qmp& qmp, Disk disk, std::chrono::milliseconds timeout) {
  auto added = co_await qmp.block_add(kNode, disk.image.get(), timeout);
  CO_TRY(std::move(added), "give QEMU the disk's image");
  auto plugged = co_await qmp.device_add(disk_device(), timeout);
  if (plugged) {
    tell_failure(qmp, std::move(disk.failed));
    co_return Result<void>{};
  }
  (void)co_await qmp.block_del(kNode, timeout);
  co_return std::unexpected(std::move(plugged).error().wrap("plug a disk"));
}

}  // namespace agentvm::vmm
