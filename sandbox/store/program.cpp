#include "sandbox/store/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

namespace {

constexpr std::size_t kMaxOutput = 65'536;

// A child that is killed and reaped with the object.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)wait();
  }
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

Result<pid_t> spawn(const std::vector<std::string>& argv,
                    const posix_spawn_file_actions_t* actions) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  // We ignore SIGPIPE; nobody else expects to.
  sigset_t defaults;
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int code = ::posix_spawnp(&pid, words[0], actions, &attributes, words.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  if (code != 0) return fail_errno(code, fmt::format("run '{}'", argv[0]));
  return pid;
}

// Until its end or the deadline.
Result<std::string> read_until(int fd, std::chrono::steady_clock::time_point deadline) {
  std::string output;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd wait{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) == 0) {
      return fail(ErrorKind::unavailable, "it takes too long");
    }
    std::array<char, 4096> bytes;
    const ssize_t got = ::read(fd, bytes.data(), bytes.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return fail_errno(errno, "read what it prints");
    if (got == 0) return output;
    output.append(bytes.data(), static_cast<std::size_t>(got));
    if (output.size() > kMaxOutput) return fail(ErrorKind::unavailable, "it prints too much");
  }
}

}  // namespace

Result<ProgramResult> run_program(const std::vector<std::string>& argv, std::string_view input,
                                  bool quiet, std::chrono::milliseconds patience) {
  auto [in_read, in_write] = TRY(sys::pipe());
  auto [out_read, out_write] = TRY(sys::pipe());
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in_read.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out_write.get(), STDOUT_FILENO);
  if (quiet) {
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  const auto pid = spawn(argv, &actions);
  ::posix_spawn_file_actions_destroy(&actions);
  if (!pid) return std::unexpected(pid.error());
  Child child(*pid);
  in_read.reset();
  out_write.reset();
  // Input is small (a secret): it fits the pipe. Who does not read it need not.
  if (auto sent = sys::write_all(in_write.get(), input); !sent && sent.error().errnum != EPIPE) {
    return std::unexpected(std::move(sent).error());
  }
  in_write.reset();
  ProgramResult result;
  result.output =
      TRY(read_until(out_read.get(), std::chrono::steady_clock::now() + patience), "'{}'", argv[0]);
  result.status = child.wait();
  return result;
}

Result<int> run_in_foreground(const std::vector<std::string>& argv, int input, int output) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (input >= 0) ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  if (output >= 0) ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  const auto pid = spawn(argv, &actions);
  ::posix_spawn_file_actions_destroy(&actions);
  if (!pid) return std::unexpected(pid.error());
  const int status = Child(*pid).wait();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace agentvm::sandbox
