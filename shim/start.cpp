#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <vector>

#include "oci/base/signals.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/container/bundle.h"
#include "runtime/pod.h"
#include "shim/actions.h"
#include "shim/bootstrap.h"
#include "shim/names.h"
#include "shim/shim_record.h"

namespace agentvm::shim {

namespace {

constexpr int kListener = 3;

struct Listener {
  UniqueFd socket;  // none: another shim of this name serves already
  UniqueFd directory;
  std::string name;
};

Result<Listener> listen(const Names& names) {
  const std::filesystem::path path(names.socket);
  std::error_code code;
  std::filesystem::create_directories(path.parent_path(), code);
  if (code) return fail_errno(code.value(), fmt::format("make '{}'", kSocketDirectory));
  Listener listener;
  listener.name = path.filename().string();
  listener.directory =
      TRY(sys::open_at(AT_FDCWD, path.parent_path().string(), O_RDONLY | O_DIRECTORY));
  auto socket = sys::listen_unix_at(listener.directory.get(), listener.name, 0600);
  if (!socket && socket.error().errnum == EADDRINUSE) {
    const auto live = sys::connect_unix_at(listener.directory.get(), listener.name, SOCK_NONBLOCK);
    if (live || live.error().errnum == EAGAIN) return listener;
    if (::unlinkat(listener.directory.get(), listener.name.c_str(), 0) != 0) {
      return fail_errno(errno, fmt::format("remove the stale socket '{}'", names.socket));
    }
    socket = sys::listen_unix_at(listener.directory.get(), listener.name, 0600);
  }
  listener.socket = TRY(std::move(socket));
  return listener;
}

std::vector<std::string> serve_words(const Arguments& arguments, bool debug) {
  std::vector<std::string> words{"containerd-shim-agentvm-v2",
                                 "-namespace",
                                 arguments.name_space,
                                 "-id",
                                 arguments.id,
                                 "-address",
                                 arguments.address};
  if (debug) words.emplace_back("-debug");
  return words;
}

// A shim is as dear to the host as containerd, but for one point: the kernel's out-of-memory killer
// takes it first (containerd, pkg/shim).
void follow_oom_score() {
  const std::string path = fmt::format("/proc/{}/oom_score_adj", ::getppid());
  const auto text = sys::read_file(path, 64);
  if (!text) return;
  const int score = std::min(std::atoi(text->c_str()) + 1, 1000);
  (void)sys::write_file("/proc/self/oom_score_adj", std::to_string(score));
}

// In the child: nothing of `start` stays open, for containerd reads our output to its end.
[[noreturn]] void become_shim(int listener, int null, char* const* argv) {
  (void)reset_signals();
  (void)::setsid();
  for (int fd = 0; fd <= 2; ++fd) (void)::dup2(null, fd);
  if (listener == kListener) {
    (void)::fcntl(listener, F_SETFD, 0);
  } else {
    (void)::dup2(listener, kListener);
  }
  // CLOSE_RANGE_CLOEXEC: the pipe that tells of a failed exec must work until then.
  (void)::syscall(SYS_close_range, static_cast<unsigned>(kListener + 1), ~0U, CLOSE_RANGE_CLOEXEC);
  ::execv("/proc/self/exe", argv);
  ::_exit(1);
}

Result<pid_t> spawn_shim(const Arguments& arguments, const Bootstrap& bootstrap, int listener) {
  auto words = serve_words(arguments, arguments.debug || bootstrap.debug);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  if (!bootstrap.ttrpc_address.empty()) {
    (void)::setenv("TTRPC_ADDRESS", bootstrap.ttrpc_address.c_str(), 1);
  }
  // A service's readiness is containerd's to tell, not that of a container in it.
  (void)::unsetenv("NOTIFY_SOCKET");
  const auto null = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_RDWR));
  auto [told, tell] = TRY(sys::pipe());
  follow_oom_score();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) become_shim(listener, null.get(), argv.data());
  tell.reset();
  // Its end comes with the exec, or with the child.
  char byte = 0;
  while (::read(told.get(), &byte, 1) < 0 && errno == EINTR) {
  }
  return pid;
}

Result<void> record(const Names& names, pid_t shim) {
  const auto bundle = TRY(sys::open_at(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY), "the bundle");
  if (shim != 0) TRY(store_shim(bundle.get(), shim));
  return sys::replace_file_at(bundle.get(), "address", names.address(), 0600);
}

// Of a pod's container: its sandbox, whose shim serves it too. "": it gets a shim of its own, as
// one does whose bundle cannot be read: what is wrong with it is for create to say.
Result<std::string> sandbox_of_bundle() {
  const auto bundle = runtime::load_bundle(".");
  if (!bundle) return "";
  return TRY(runtime::pod_place(bundle->spec.annotations)).sandbox_id;
}

Result<void> use_shim_of_sandbox(const Names& names, const std::string& sandbox) {
  const auto directory = TRY(sys::open_at(AT_FDCWD, kSocketDirectory, O_RDONLY | O_DIRECTORY));
  const std::string name = std::filesystem::path(names.socket).filename().string();
  const auto live = sys::connect_unix_at(directory.get(), name, SOCK_NONBLOCK);
  if (live || live.error().errnum == EAGAIN) return record(names, 0);
  return fail(ErrorKind::failed_precondition,
              fmt::format("pod's sandbox '{}': no shim serves it in this namespace: {}", sandbox,
                          live.error().text()));
}

Result<void> start_shim(const Arguments& arguments, const Bootstrap& bootstrap,
                        const Names& names) {
  auto listener = TRY(listen(names));
  if (!listener.socket) return record(names, 0);
  auto shim = spawn_shim(arguments, bootstrap, listener.socket.get());
  auto done = shim ? record(names, *shim) : std::unexpected(std::move(shim).error());
  if (!done) (void)::unlinkat(listener.directory.get(), listener.name.c_str(), 0);
  return done;
}

}  // namespace

Result<int> run_start(const Arguments& arguments) {
  const std::string input = TRY(sys::read_all(0, kMaxBootstrap), "containerd's parameters");
  const Bootstrap bootstrap = read_bootstrap(input, arguments.name_space, arguments.id,
                                             ::getenv("MAX_SHIM_VERSION") != nullptr);
  const std::string sandbox = TRY(sandbox_of_bundle());
  const Names names =
      names_for(arguments.address, arguments.name_space, sandbox.empty() ? arguments.id : sandbox);
  TRY(sandbox.empty() ? start_shim(arguments, bootstrap, names)
                      : use_shim_of_sandbox(names, sandbox));
  TRY(sys::write_all(1, bootstrap_answer(bootstrap.dialect, names.address())));
  return 0;
}

}  // namespace agentvm::shim
