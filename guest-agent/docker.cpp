#include "guest-agent/docker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <optional>

#include "guest-agent/cgroup_files.h"
#include "guest-agent/launch/in_root.h"
#include "guest-agent/modules.h"
#include "oci/base/log.h"
#include "oci/base/remove_tree.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "rpc/guest_contract.h"

namespace agentvm::guest {

namespace {

constexpr std::size_t kLongestFile = std::size_t{1} << 20;
constexpr mode_t kSocketMode = 0660;
constexpr mode_t kLogMode = 0640;
constexpr std::uint32_t kUsualMtu = 1500;
// Processes that fork while they are moved turn up again.
constexpr int kMoves = 100;
// The kernel ends others first, as packages of Docker set it.
constexpr int kOomScore = -500;

// The image wrote it: it may be anything, a fifo included.
std::string read_in_root(int root, const std::string& path) {
  const auto fd = sys::open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd) return {};
  struct stat status{};
  if (::fstat(fd->get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  return sys::read_all(fd->get(), kLongestFile).value_or(std::string());
}

Result<UniqueFd> open_log(int root) {
  const auto place = TRY(make_parent(root, rpc::kDockerLog));
  const auto parent = TRY(sys::open_at(place.parent.get(), ".", O_RDONLY | O_DIRECTORY));
  auto log = TRY(sys::open_at(parent.get(), place.name,
                              O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
                              kLogMode));
  struct stat status{};
  if (::fstat(log.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(ErrorKind::failed_precondition, "it is not a file");
  }
  return log;
}

Result<UniqueFd> listen_in(int root) {
  const Place place = TRY(make_place(root, rpc::kDockerSocketDirectory, PlaceKind::directory));
  const auto directory = TRY(sys::open_at(place.fd.get(), ".", O_RDONLY | O_DIRECTORY));
  // Left by the VM before. The number in the second is another process's by now, for which dockerd
  // would not start.
  for (const char* name : {rpc::kDockerSocketName, "docker.pid"}) {
    (void)::unlinkat(directory.get(), name, 0);
  }
  auto listener = TRY(sys::listen_unix_at(directory.get(), rpc::kDockerSocketName, kSocketMode));
  const gid_t group = group_in(read_in_root(root, "/etc/group"), "docker");
  if (::fchownat(directory.get(), rpc::kDockerSocketName, 0, group, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno(errno, "give the socket to its group");
  }
  return listener;
}

// Which dockerd does as well, but not before it has looked what limits there are.
Result<void> delegate_controllers(const std::string& cgroup) {
  const std::string controllers = TRY(sys::read_file(cgroup + "/cgroup.controllers", 4096));
  for (const std::string_view name : split(controllers, " \n")) {
    TRY(sys::write_file(cgroup + "/cgroup.subtree_control", fmt::format("+{}", name)),
        "delegate controller '{}'", name);
  }
  return {};
}

// What nothing asks the kernel for: filters for bridges, and the old iptables, whose program would
// load it.
constexpr std::array kModules = {"br_netfilter", "ip_tables", "ip6_tables"};

// The least of the guest's interfaces: what a container of Docker sends has to fit them all.
std::uint32_t least_mtu() {
  std::uint32_t least = kUsualMtu;
  const auto directory = sys::open_at(AT_FDCWD, "/sys/class/net", O_RDONLY | O_DIRECTORY);
  if (!directory) return least;
  for (const std::string& name :
       list_names(directory->get()).value_or(std::vector<std::string>())) {
    const auto text = sys::read_file_at(directory->get(), name + "/mtu", 32);
    std::uint32_t mtu = 0;
    if (text) (void)std::from_chars(text->data(), text->data() + text->size(), mtu);
    if (mtu != 0) least = std::min(least, mtu);
  }
  return least;
}

}  // namespace

void load_docker_modules() {
  for (const char* name : kModules) {
    if (auto loaded = load_module(name); !loaded) log::warning("{}", loaded.error().text());
  }
}

gid_t group_in(std::string_view text, std::string_view name) {
  for (const std::string_view line : lines_of(text)) {
    if (!line.starts_with(name) || line.size() == name.size() || line[name.size()] != ':') continue;
    const std::size_t second = line.find(':', name.size() + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view id = line.substr(second + 1, line.find(':', second + 1) - second - 1);
    gid_t group = 0;
    const auto [end, code] = std::from_chars(id.data(), id.data() + id.size(), group);
    if (code == std::errc() && end == id.data() + id.size()) return group;
  }
  return 0;
}

DockerDoor::DockerDoor(const asio::any_io_executor& executor, Reaper& reaper, const Cgroup& cgroup)
    : executor_(executor), reaper_(reaper), cgroup_(&cgroup) {}

Result<std::shared_ptr<DockerDoor>> DockerDoor::open(const asio::any_io_executor& executor,
                                                     Reaper& reaper, const oci::Spec& spec,
                                                     pid_t init, const Cgroup& cgroup,
                                                     std::string program) {
  std::shared_ptr<DockerDoor> door(new DockerDoor(executor, reaper, cgroup));
  door->spec_ = spec;
  door->init_ = init;
  door->program_ = std::move(program);
  TRY(door->open_places(fmt::format("/proc/{}/root", init)));
  return door;
}

Result<void> DockerDoor::open_places(const std::string& root) {
  const auto fd = TRY(sys::open_at(AT_FDCWD, root, O_PATH | O_DIRECTORY));
  listener_ = TRY(listen_in(fd.get()), "listen at '{}/{}' in the container",
                  rpc::kDockerSocketDirectory, rpc::kDockerSocketName);
  log_ = TRY(open_log(fd.get()), "open '{}' in the container", rpc::kDockerLog);
  // A setting on the command line and in the file is an error of dockerd's.
  chooses_mtu_ = !read_in_root(fd.get(), "/etc/docker/daemon.json").contains("\"mtu\"");
  return {};
}

Result<std::string> DockerDoor::make_room_for_cgroups() const {
  std::string leaf = TRY(make_inner_cgroup(cgroup_->path(), "/init"));
  for (int i = 0; i < kMoves; ++i) {
    const std::string here = TRY(sys::read_file(cgroup_->path() + "/cgroup.procs", kLongestFile));
    const auto pids = lines_of(here);
    if (std::ranges::all_of(pids, &std::string_view::empty)) {
      TRY(delegate_controllers(cgroup_->path()));
      return leaf;
    }
    // One that has ended meanwhile is gone from the list, too.
    for (const std::string_view pid : pids) (void)sys::write_file(leaf + "/cgroup.procs", pid);
  }
  return fail(ErrorKind::unavailable, "the container's processes do not leave its cgroup");
}

Result<ExecLaunch> DockerDoor::order() const {
  ExecLaunch launch;
  launch.init_pid = init_;
  launch.spec = spec_;
  launch.cgroup = TRY(make_room_for_cgroups());
  oci::Process& process = launch.process;
  process.args = {program_, "--host", "fd://"};
  if (const std::uint32_t mtu = least_mtu(); chooses_mtu_ && mtu < kUsualMtu) {
    process.args.insert(process.args.end(), {"--mtu", fmt::to_string(mtu)});
  }
  process.env = spec_.process->env;
  process.cwd = "/";
  process.oom_score_adj = kOomScore;
  oci::Capabilities all;
  if (spec_.process->capabilities) all.bounding = spec_.process->capabilities->bounding;
  all.effective = all.permitted = all.bounding;
  process.capabilities = std::move(all);
  launch.stdio.out.reset(::fcntl(log_.get(), F_DUPFD_CLOEXEC, 3));
  launch.stdio.err.reset(::fcntl(log_.get(), F_DUPFD_CLOEXEC, 3));
  launch.stdio.listener.reset(::fcntl(listener_.get(), F_DUPFD_CLOEXEC, 4));
  return launch;
}

Task<void> DockerDoor::run_daemon() {
  load_docker_modules();
  auto ended = std::make_shared<Event>(executor_);
  {
    const auto launching = reaper_.launching();
    auto launch = CO_TRY(order());
    auto outcome = co_await launch_exec(std::move(launch));
    const auto launched = CO_TRY(std::move(outcome));
    auto started = co_await launched->start("");
    CO_TRY(std::move(started));
    reaper_.watch(launched->pid(), [ended](int) { ended->set(); });
  }
  co_await ended->wait();
  co_return Result<void>{};
}

void DockerDoor::refuse_waiting() const {
  ::fcntl(listener_.get(), F_SETFL, O_NONBLOCK);
  while (UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC))) {
  }
}

void DockerDoor::note(std::string_view what) const {
  (void)sys::write_all(log_.get(), fmt::format("agentvm: {}\n", what));
}

void DockerDoor::serve() {
  const auto self = shared_from_this();
  const auto watch = [](std::shared_ptr<DockerDoor> door) -> asio::awaitable<void> {
    while (!door->stopped_) {
      if (auto ready = co_await wait_readable(door->listener_.get()); !ready) co_return;
      if (door->stopped_) co_return;
      auto done = co_await door->run_daemon();
      if (door->stopped_) co_return;
      door->note(done ? "dockerd has ended; the next connection starts it again"
                      : fmt::format("dockerd was not started: {}", done.error().text()));
      door->refuse_waiting();
    }
  };
  asio::co_spawn(executor_, watch(self),
                 asio::bind_cancellation_slot(stop_.slot(), [self](const std::exception_ptr&) {}));
}

void DockerDoor::stop() {
  stopped_ = true;
  stop_.emit(asio::cancellation_type::all);
}

}  // namespace agentvm::guest
