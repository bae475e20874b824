#include "runtime/pool/holder.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/growth.h"
#include "runtime/mount_namespace.h"
#include "runtime/orphan.h"
#include "runtime/pool/practice.h"
#include "runtime/session/guest_link.h"
#include "runtime/session/guest_start.h"
#include "vmm/guest_memory.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMaxGreeting = 64;

// The VM's share while nobody has it: what is mounted on `container` later shows up in virtiofsd's
// mounts too, which are slaves of these. Read-only before virtiofsd sees it.
Result<void> make_share(const std::string& path) {
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount("agentvm-pool", path.c_str(), "tmpfs", kFlags, "mode=0755,size=1m") != 0 ||
      ::mount(nullptr, path.c_str(), nullptr, MS_SHARED, nullptr) != 0) {
    return fail_errno(errno, fmt::format("mount the shared directory on '{}'", path));
  }
  const auto directory = TRY(sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  if (::mkdirat(directory.get(), kPoolShare, 0755) != 0) return fail_errno(errno, "make the share");
  TRY(make_practice(directory.get()));
  if (::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kFlags, nullptr) !=
      0) {
    return fail_errno(errno, "make the shared directory read-only");
  }
  return {};
}

Result<void> prepare(const HolderOrder& order) {
  TRY(make_guest_directories(order.place.dir.fd()));
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno(errno, "make a network namespace");
  TRY(enter_own_mounts());
  const std::string path = order.place.dir.path();
  TRY(make_share(path + "/" + kSharedDirectory));
  return vmm::mount_guest_memory(path + "/" + kMemoryDirectory, order.machine.memory_mib);
}

class Holder {
 public:
  Holder(const HolderOrder& order, Channel maker) : order_(order), maker_(std::move(maker)) {}

  // Up to the listening socket. On failure the VM is gone again.
  Task<void> restore();
  // From there to the end of the VM.
  asio::awaitable<void> hold(asio::io_context& io);
  void tell(const Message& message) { (void)maker_.send(message); }

 private:
  asio::awaitable<void> follow_maker(asio::io_context& io);
  asio::awaitable<void> follow_machine();
  asio::awaitable<void> follow_client();
  asio::awaitable<void> serve_client();
  Task<void> carry_out(Message message);
  Result<void> take_share();

  const HolderOrder& order_;
  Channel maker_;
  Guest guest_;
  UniqueFd listener_;
  std::unique_ptr<Channel> client_;
  std::unique_ptr<Event> over_;
  bool made_ = false;
};

Task<void> Holder::restore() {
  over_ = std::make_unique<Event>(co_await asio::this_coro::executor);
  auto received = co_await maker_.async_receive();
  const auto proceed = CO_TRY(std::move(received));
  if (!proceed || proceed->type != MessageType::proceed) {
    co_return fail(ErrorKind::unavailable, "who makes the VM has ended");
  }
  Timings timings;
  std::optional<vmm::MachineEnd> lost;
  GuestOrder order{order_.machine, order_.place.dir.path(), &order_.saved, timings};
  auto guest = co_await start_guest(std::move(order), lost);
  guest_ = CO_TRY(std::move(guest));
  GuestLink link{order_.place.dir.fd(), order_.config.vm.request_timeout};
  auto practised = co_await practise(link, order_.config, *guest_.machine);
  CO_TRY(std::move(practised), "practise");
  listener_ = CO_TRY(sys::listen_unix_at(order_.place.dir.fd(), kHolderSocket, 0600));
  co_return Result<void>{};
}

// Until the maker has stored what there is, nobody else knows of it.
asio::awaitable<void> Holder::follow_maker(asio::io_context& io) {
  auto gone = co_await wait_hangup(maker_.fd());
  if (gone && !made_) io.stop();
}

asio::awaitable<void> Holder::follow_machine() {
  auto end = co_await guest_.machine->wait_end();
  if (client_ && end) {
    (void)client_->send(
        {MessageType::ended,
         fmt::format("{}\n{}\n{}", end->part, end->wait_status, guest_.machine->console_tail()),
         {}});
  }
  // A claimed VM's end is its client's to decide: it may still want to say why.
  if (!client_) over_->set();
}

// What the client wants the guest to see, as a mount that is nowhere yet.
Result<void> Holder::take_share() {
  const auto received = TRY(sys::receive_fds(client_->fd(), kMaxGreeting, 1));
  if (received.fds.size() != 1)
    return fail(ErrorKind::invalid_argument, "no mount was handed over");
  const std::string target =
      fmt::format("{}/{}/{}", order_.place.dir.path(), kSharedDirectory, kPoolShare);
  if (::move_mount(received.fds.front().get(), "", AT_FDCWD, target.c_str(),
                   MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return fail_errno(errno, "attach the share");
  }
  return {};
}

asio::awaitable<void> Holder::follow_client() {
  if (auto ready = co_await wait_readable(listener_.get()); !ready) co_return;
  client_ = std::make_unique<Channel>(
      UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  listener_.reset();
  (void)::unlinkat(order_.place.dir.fd(), kHolderSocket, 0);
  if (auto ready = co_await wait_readable(client_->fd()); ready) {
    auto shared = take_share();
    (void)client_->send(answer_of(shared));
    co_await serve_client();
  }
  over_->set();
}

// Until stop, or the client's end: either way the VM goes.
asio::awaitable<void> Holder::serve_client() {
  const auto executor = co_await asio::this_coro::executor;
  for (;;) {
    auto received = co_await client_->async_receive();
    if (!received || !*received || (*received)->type == MessageType::stop) co_return;
    // Beside this, so that the client's end is seen meanwhile.
    spawn<void>(executor, carry_out(*std::move(*received)),
                [this](Result<void> outcome) { (void)client_->send(answer_of(outcome)); });
  }
}

Task<void> Holder::carry_out(Message message) {
  if (message.type == MessageType::grow) {
    const auto total = CO_TRY(parse_size(message.text));
    co_return co_await guest_.machine->grow(total);
  }
  if (message.type == MessageType::unplug_nic) {
    co_return co_await guest_.machine->unplug_nic(
        static_cast<unsigned>(std::atoi(message.text.c_str())));
  }
  if (message.type == MessageType::plug_disk && message.fd) {
    vmm::Disk disk{std::move(message.fd), [this](std::string why) {
                     (void)client_->send({MessageType::disk_failed, std::move(why), {}});
                   }};
    co_return co_await guest_.machine->plug_disk(std::move(disk));
  }
  if (message.type != MessageType::plug_nic || !message.fd) {
    co_return fail(ErrorKind::invalid_argument, "the VM's holder does not take this");
  }
  auto nic = CO_TRY(vmm::decode_nic(message.text));
  nic.tap = std::move(message.fd);
  co_return co_await guest_.machine->plug_nic(std::move(nic));
}

asio::awaitable<void> Holder::hold(asio::io_context& io) {
  const auto executor = co_await asio::this_coro::executor;
  asio::co_spawn(executor, follow_maker(io), asio::detached);
  auto restored = co_await restore();
  if (!restored) {
    tell({MessageType::failed, "", std::move(restored).error()});
  } else {
    asio::co_spawn(executor, follow_machine(), asio::detached);
    asio::co_spawn(executor, follow_client(), asio::detached);
    // From here on the maker's last word tells, not its end, which may overtake it.
    made_ = true;
    tell({MessageType::created, "", {}});
    auto stored = co_await maker_.async_receive();
    maker_ = Channel(UniqueFd());
    if (stored && *stored) co_await over_->wait();
  }
  if (guest_.machine) (void)co_await guest_.machine->stop(std::chrono::milliseconds(0));
}

}  // namespace

void hold_vm(const HolderOrder& order, Channel maker) {
  live_on_unseen(fmt::format("agentvm: holds VM {} of the pool", order.place.dir.id()));
  if (auto prepared = prepare(order); !prepared) {
    (void)maker.send({MessageType::failed, "", std::move(prepared).error()});
    ::_exit(1);
  }
  (void)maker.send({MessageType::prepared, "", {}});
  {
    asio::io_context io(1);
    Holder holder(order, std::move(maker));
    asio::co_spawn(io, holder.hold(io), [&io](const std::exception_ptr&) { io.stop(); });
    io.run();
  }
  ::_exit(0);
}

}  // namespace agentvm::runtime
