#include "tests/guest-agent/launch_container.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

namespace fs = std::filesystem;

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string cgroup2_mount() {
  std::istringstream mounts(read_text("/proc/self/mounts"));
  std::string device;
  std::string place;
  std::string type;
  std::string rest;
  while (mounts >> device >> place >> type && std::getline(mounts, rest)) {
    if (type == "cgroup2") return place;
  }
  return {};
}

const std::vector<std::string> kCapabilities = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE"};

oci::Spec docker_like_spec(const std::string& root) {
  oci::Spec spec;
  spec.oci_version = "1.2.0";
  spec.root = oci::Root{root, false};
  spec.hostname = "box";
  spec.mounts = {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}, {}, {}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}, {}, {}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
       {},
       {}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}, {}, {}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "nosuid", "noexec", "nodev"}, {}, {}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}, {}, {}},
      {"/dev/shm",
       "tmpfs",
       "shm",
       {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"},
       {},
       {}},
  };
  oci::Process process;
  process.cwd = "/";
  process.env = {"PATH=/usr/local/sbin:/bin"};
  process.capabilities = oci::Capabilities{kCapabilities, kCapabilities, {}, kCapabilities, {}};
  spec.process = process;
  oci::Linux& linux_part = spec.linux_.emplace();
  using enum oci::NamespaceType;
  for (const auto type : {mount, network, uts, pid, ipc, cgroup}) {
    linux_part.namespaces.push_back({type, ""});
  }
  linux_part.masked_paths = {"/proc/kcore", "/proc/acpi", "/sys/firmware", "/proc/timer_list"};
  linux_part.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                               "/proc/sysrq-trigger"};
  return spec;
}

void make_root(const std::string& root) {
  for (const char* directory : {"bin", "etc", "tmp", "proc", "sys", "dev", "var"}) {
    fs::create_directories(root + "/" + directory);
  }
  fs::copy_file("/bin/busybox", root + "/bin/busybox");
  for (const char* applet :
       {"sh",   "cat",      "echo",   "ls",     "id",   "grep",  "mount", "umount",
        "stat", "hostname", "sleep",  "stty",   "tty",  "touch", "mkdir", "readlink",
        "true", "kill",     "dd",     "awk",    "head", "tail",  "chown", "nice",
        "date", "mknod",    "test",   "chmod",  "env",  "pwd",   "rm",    "od",
        "wc",   "sort",     "ionice", "setsid", "ln",   "mv"}) {
    fs::create_symlink("busybox", root + "/bin/" + applet);
  }
}

}  // namespace

int Ran::exit_code() const {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

std::string Ran::error() const {
  return launched ? std::string() : launched.error().text();
}

LaunchContainer::LaunchContainer() {
  static int count = 0;
  const std::string name = fmt::format("agentvm-launch-{}-{}", ::getpid(), ++count);
  directory_ = fs::temp_directory_path() / name;
  root_ = directory_ + "/root";
  cgroup_ = cgroup2_mount() + "/" + name;
  fs::create_directories(root_);
  fs::create_directory(cgroup_);
  make_root(root_);
  spec = docker_like_spec(root_);
  mounts_before_ = read_text("/proc/self/mountinfo");
}

LaunchContainer::~LaunchContainer() {
  stop();
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
  EXPECT_EQ(read_text("/proc/self/mountinfo"), mounts_before_);
  EXPECT_EQ(::rmdir(cgroup_.c_str()), 0) << "processes left in the cgroup";
  fs::remove_all(directory_);
}

void LaunchContainer::write(const std::string& path, const std::string& text, mode_t mode) const {
  const fs::path file = root_ + path;
  fs::create_directories(file.parent_path());
  std::ofstream(file) << text;
  ::chmod(file.c_str(), mode);
}

void LaunchContainer::make_directory(const std::string& path, mode_t mode) const {
  fs::create_directories(root_ + path);
  ::chmod((root_ + path).c_str(), mode);
}

bool LaunchContainer::exists(const std::string& path) const {
  return fs::exists(fs::symlink_status(path));
}

oci::Mount& LaunchContainer::add_mount(std::string type, std::string source,
                                       std::string destination, std::vector<std::string> options) {
  spec.mounts.push_back(
      {std::move(destination), std::move(type), std::move(source), std::move(options), {}, {}});
  return spec.mounts.back();
}

oci::Namespace& LaunchContainer::add_namespace(oci::NamespaceType type) {
  spec.linux_->namespaces.push_back({type, ""});
  return spec.linux_->namespaces.back();
}

void LaunchContainer::drop_namespace(oci::NamespaceType type) {
  std::erase_if(spec.linux_->namespaces, [type](const auto& ns) { return ns.type == type; });
}

void LaunchContainer::use_user_namespace(std::uint32_t first) {
  add_namespace(oci::NamespaceType::user);
  spec.linux_->uid_mappings = {{0, first, 65536}};
  spec.linux_->gid_mappings = {{0, first, 65536}};
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    EXPECT_EQ(::lchown(entry.path().c_str(), first, first), 0) << entry.path();
  }
  EXPECT_EQ(::chown(root_.c_str(), first, first), 0);
}

std::shared_ptr<const oci::SeccompFilter> LaunchContainer::seccomp() const {
  if (!spec.linux_->seccomp) return nullptr;
  auto filter = oci::compile_seccomp(*spec.linux_->seccomp);
  EXPECT_TRUE(filter.has_value()) << filter.error().text();
  return filter ? std::make_shared<oci::SeccompFilter>(*std::move(filter)) : nullptr;
}

Ran LaunchContainer::run(const std::string& script) {
  spec.process->args = {"sh", "-c", script};
  return run_process();
}

Ran LaunchContainer::run_process() {
  auto output = sys::pipe().value();
  InitLaunch launch;
  launch.id = "test";
  launch.spec = spec;
  launch.cgroup = cgroup_;
  launch.seccomp = seccomp();
  launch.stdio.out.reset(::fcntl(output.second.get(), F_DUPFD_CLOEXEC, 3));
  launch.stdio.err = std::move(output.second);
  launch.joined = std::move(joined);
  io_.restart();
  return finish(run_to_end(io_, launch_init(std::move(launch))), output.first.get());
}

Ran LaunchContainer::exec(oci::Process process) {
  auto output = sys::pipe().value();
  ExecLaunch launch;
  launch.init_pid = init_pid_;
  launch.spec = spec;
  launch.process = std::move(process);
  launch.cgroup = cgroup_;
  launch.seccomp = seccomp();
  launch.stdio.out.reset(::fcntl(output.second.get(), F_DUPFD_CLOEXEC, 3));
  launch.stdio.err = std::move(output.second);
  io_.restart();
  return finish(run_to_end(io_, launch_exec(std::move(launch))), output.first.get());
}

Ran LaunchContainer::finish(Result<std::unique_ptr<Launched>> launched, int output) {
  Ran ran;
  if (!launched) {
    ran.launched = std::unexpected(std::move(launched).error());
    return ran;
  }
  UniqueFd terminal = (*launched)->take_terminal();
  io_.restart();
  ran.launched = run_to_end(io_, (*launched)->start(R"({"id":"test","status":"created"})"));
  const int from = terminal ? terminal.get() : output;
  char bytes[4096];
  for (;;) {
    const ssize_t n = ::read(from, bytes, sizeof bytes);
    if (n <= 0) break;  // EIO is the end of a terminal
    ran.out.append(bytes, static_cast<std::size_t>(n));
  }
  EXPECT_EQ(::waitpid((*launched)->pid(), &ran.wait_status, 0), (*launched)->pid());
  return ran;
}

void LaunchContainer::start(const std::string& script) {
  spec.process->args = {"sh", "-c", script};
  InitLaunch launch;
  launch.id = "test";
  launch.spec = spec;
  launch.cgroup = cgroup_;
  launch.seccomp = seccomp();
  io_.restart();
  auto launched = run_to_end(io_, launch_init(std::move(launch)));
  ASSERT_TRUE(launched.has_value()) << launched.error().text();
  init_ = std::move(*launched);
  init_pid_ = init_->pid();
  io_.restart();
  const auto started = run_to_end(io_, init_->start("{}"));
  ASSERT_TRUE(started.has_value()) << started.error().text();
}

oci::Process LaunchContainer::shell(const std::string& script) const {
  oci::Process process = *spec.process;
  process.args = {"sh", "-c", script};
  return process;
}

void LaunchContainer::stop() {
  if (init_pid_ == 0) return;
  ::kill(init_pid_, SIGKILL);
  // The kernel ends a pid namespace's init after everything in it has been reaped, and what failed
  // to start in it is ours to reap, as the agent does with whatever ends.
  for (pid_t ended = 0; ended != init_pid_ && ended >= 0;) ended = ::waitpid(-1, nullptr, 0);
  init_pid_ = 0;
  init_.reset();
}

}  // namespace agentvm::guest
