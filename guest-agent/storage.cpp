#include "guest-agent/storage.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>

#include "guest-agent/blocking_call.h"
#include "guest-agent/modules.h"
#include "guest-agent/pci_slot.h"
#include "guest-agent/uevent.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/mount_options.h"
#include "rpc/guest_contract.h"

namespace agentvm::guest {

namespace {

constexpr std::chrono::milliseconds kDiskPatience{30000};
constexpr std::chrono::milliseconds kSharePatience{10000};
constexpr std::size_t kMaxStorages = 256;

std::unexpected<Error> wrong(std::string_view why) {
  return fail(ErrorKind::invalid_argument, fmt::format("storage: {}", why));
}

Result<void> check_path(std::string_view what, std::string_view path) {
  if (!path.starts_with('/') || path.size() < 2 || path.size() > 4095) {
    return wrong(fmt::format("{} '{}' is not an absolute path below the root", what, path));
  }
  if (path.ends_with('/') || path.find("//") != std::string_view::npos ||
      path.find('\0') != std::string_view::npos) {
    return wrong(fmt::format("{} '{}' is not in its plain form", what, path));
  }
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at + 1), path.size());
    const std::string_view part = path.substr(at + 1, end - at - 1);
    if (part == "." || part == "..") {
      return wrong(fmt::format("{} '{}' is not in its plain form", what, path));
    }
    at = end;
  }
  return {};
}

}  // namespace

Result<StorageOrder> checked_storage(StorageOrder order) {
  TRY(check_path("mount point", order.mount_point));
  TRY(oci::parse_mount_options(order.options), "storage '{}'", order.mount_point);
  if (order.driver == "virtiofs" || order.driver == "tmpfs") {
    if (order.fs_type.empty()) order.fs_type = order.driver;
    if (order.fs_type != order.driver) {
      return wrong(fmt::format("file system '{}' for driver '{}'", order.fs_type, order.driver));
    }
    if (order.driver == "tmpfs" && order.source.empty()) order.source = "tmpfs";
    if (order.source.empty()) return wrong("a virtiofs share needs its tag as source");
    return order;
  }
  if (order.driver == "overlay") {
    if (!order.fs_type.empty() && order.fs_type != "overlay") {
      return wrong(fmt::format("file system '{}' for driver 'overlay'", order.fs_type));
    }
    order.source = order.fs_type = "overlay";
    return order;
  }
  if (order.driver == "bind") {
    TRY(check_path("source", order.source));
    if (!order.fs_type.empty()) return wrong("a bind mount has no file system type");
    return order;
  }
  if (order.driver == "submount") {
    if (!order.source.empty() || !order.fs_type.empty() || !order.options.empty()) {
      return wrong("a submount has a mount point and nothing else");
    }
    return order;
  }
  if (order.driver != "block") return wrong(fmt::format("unknown driver '{}'", order.driver));
  if (order.fs_type.empty()) return wrong("a block device needs a file system type");
  if (!order.source.starts_with("/dev/")) {
    return wrong(fmt::format("block device '{}' is not below /dev", order.source));
  }
  return order;
}

class StorageTable::Turn {
 public:
  explicit Turn(std::shared_ptr<Event> done) : done_(std::move(done)) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() { done_->set(); }

 private:
  std::shared_ptr<Event> done_;
};

asio::awaitable<std::shared_ptr<StorageTable::Turn>> StorageTable::take_turn() {
  auto mine = std::make_shared<Event>(co_await asio::this_coro::executor);
  auto turn = std::make_shared<Turn>(mine);
  const auto before = std::exchange(last_turn_, std::move(mine));
  if (before) co_await before->wait();
  co_return turn;
}

Task<void> StorageTable::acquire(StorageOrder unchecked) {
  const StorageOrder order = CO_TRY(checked_storage(std::move(unchecked)));
  const auto turn = co_await take_turn();
  const auto found = mounted_.find(order.mount_point);
  if (found != mounted_.end()) {
    if (found->second.order != order) {
      co_return fail(ErrorKind::already_exists,
                     fmt::format("storage: something else is mounted at '{}'", order.mount_point));
    }
    ++found->second.users;
    co_return Result<void>();
  }
  if (mounted_.size() >= kMaxStorages) {
    co_return fail(ErrorKind::failed_precondition, "storage: too many mounts");
  }
  auto done = co_await mount(order);
  if (!done) {
    co_return std::unexpected(
        std::move(done).error().wrap(fmt::format("mount storage '{}'", order.mount_point)));
  }
  mounted_[order.mount_point] = {order, 1};
  co_return Result<void>();
}

namespace {

std::uintptr_t pointer(const std::string& text) {
  return reinterpret_cast<std::uintptr_t>(text.c_str());
}

// mount(2) by a process of its own; the strings outlive it in the caller's frame.
Task<void> mount_apart(Reaper& reaper, const std::string& source, const StorageOrder& order,
                       const oci::MountOptions& options) {
  const unsigned long kind = order.driver == "bind" ? MS_BIND | MS_REC : 0;
  SlowCall call{SYS_mount,
                {pointer(source), pointer(order.mount_point), pointer(order.fs_type),
                 options.flags | kind, pointer(options.data)}};
  auto done = co_await call_apart(reaper, fmt::format("mount {} '{}'", order.driver, source), call);
  co_return done;
}

// Not waited for while something is unmounted that is still in use, by a mount namespace that is
// being torn down: it goes with its last user.
Task<void> unmount_apart(Reaper& reaper, const std::string& mount_point) {
  const std::string doing = fmt::format("unmount storage '{}'", mount_point);
  SlowCall call{SYS_umount2, {pointer(mount_point), UMOUNT_NOFOLLOW}};
  auto done = co_await call_apart(reaper, doing, call);
  if (done || done.error().errnum != EBUSY) co_return done;
  call.arguments[1] = UMOUNT_NOFOLLOW | MNT_DETACH;
  co_return co_await call_apart(reaper, doing, call);
}

// A share may be plugged at this very moment: the kernel answers EINVAL to a tag it has not seen.
Task<void> mount_share(Reaper& reaper, const StorageOrder& order,
                       const oci::MountOptions& options) {
  auto events = CO_TRY(UeventSocket::open());
  const auto limit = std::chrono::steady_clock::now() + kSharePatience;
  for (;;) {
    auto done = co_await mount_apart(reaper, order.source, order, options);
    if (done || done.error().errnum != EINVAL) co_return done;
    const auto happened = co_await events.wait(limit);
    if (!happened) co_return done;
  }
}

// Has the kernel mount it: an open that is no O_PATH goes through (path_resolution(7)).
Result<void> open_submount(const std::string& mount_point) {
  (void)TRY(sys::open_at(AT_FDCWD, mount_point, O_RDONLY | O_DIRECTORY));
  return {};
}

}  // namespace

namespace {

// The disk that the host has plugged into a slot: its driver is loaded, its node there.
Result<std::string> find_disk_in_slot(std::string_view number) {
  unsigned slot = 0;
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), slot);
  if (code != std::errc() || end != number.data() + number.size()) {
    return wrong(fmt::format("'{}' is no slot", number));
  }
  TRY(load_module("virtio_blk"));
  const PciSlot place = TRY(PciSlot::open(slot));
  TRY(place.power_on());
  if (!TRY(place.look())) {
    return fail(ErrorKind::unavailable, fmt::format("nothing is plugged into slot {}", slot));
  }
  return "/dev/" + TRY(place.block_device());
}

}  // namespace

Task<void> StorageTable::mount(const StorageOrder& order) {
  if (order.driver == "submount") co_return open_submount(order.mount_point);
  const oci::MountOptions options = CO_TRY(oci::parse_mount_options(order.options));
  auto root = CO_TRY(sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  CO_TRY(sys::mkdirs_in_root(root.get(), order.mount_point, 0755));
  if (order.driver == "virtiofs") {
    auto done = co_await mount_share(reaper_, order, options);
    co_return done;
  }
  std::string source = order.source;
  if (order.driver == "overlay") CO_TRY(load_module("overlay"));
  if (source.starts_with(rpc::kSlotDevices)) {
    source = CO_TRY(find_disk_in_slot(source.substr(std::string_view(rpc::kSlotDevices).size())));
  } else if (order.driver == "block") {
    auto node = co_await wait_for_block_device(order.source, kDiskPatience);
    source = CO_TRY(std::move(node));
  }
  auto done = co_await mount_apart(reaper_, source, order, options);
  co_return done;
}

Task<void> StorageTable::release(std::string mount_point) {
  const auto turn = co_await take_turn();
  const auto found = mounted_.find(mount_point);
  if (found == mounted_.end()) {
    co_return fail(ErrorKind::not_found, fmt::format("no storage at '{}'", mount_point));
  }
  if (--found->second.users > 0) co_return Result<void>();
  const bool submount = found->second.order.driver == "submount";
  mounted_.erase(found);
  auto done = co_await unmount_apart(reaper_, mount_point);
  // Nobody may have gone through it, and the directory is the host's.
  if (submount && !done && done.error().errnum == EINVAL) co_return Result<void>();
  if (!submount) ::rmdir(mount_point.c_str());
  co_return done;
}

}  // namespace agentvm::guest
