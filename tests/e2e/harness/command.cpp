#include "tests/e2e/harness/command.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fstream>

namespace agentvm::e2e {

namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int read = -1;
  int write = -1;
};

Pipe make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) std::abort();
  return {fds[0], fds[1]};
}

// A file in memory, written at its end, read from its start.
Pipe make_file() {
  Pipe file;
  file.write = ::memfd_create("output", MFD_CLOEXEC);
  const std::string path = "/proc/self/fd/" + std::to_string(file.write);
  file.read = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  (void)::fcntl(file.write, F_SETFL, O_APPEND);
  return file;
}

void close_fd(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

[[noreturn]] void become(const std::vector<std::string>& argv, const CommandOptions& options,
                         int in, int out, int err) {
  ::setpgid(0, 0);
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) ::_exit(126);
  for (const std::string& entry : options.environment) ::putenv(const_cast<char*>(entry.c_str()));
  std::vector<char*> arguments;
  for (const std::string& argument : argv) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

int to_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

// Appends what is there; closes the fd at its end.
void take(int& fd, std::string& into) {
  std::array<char, 65536> chunk;
  const ssize_t n = ::read(fd, chunk.data(), chunk.size());
  if (n > 0) {
    into.append(chunk.data(), static_cast<std::size_t>(n));
  } else if (n == 0 || errno != EINTR) {
    close_fd(fd);
  }
}

}  // namespace

Outcome run_command(const std::vector<std::string>& argv, const CommandOptions& options) {
  CommandOptions with_pipe = options;
  with_pipe.file_output = true;
  with_pipe.null_input = options.input.empty() && options.null_input;
  Background program(argv, with_pipe);
  if (!with_pipe.null_input) {
    // Inputs of tests are small or read at once by the program: a helper process feeds them.
    const pid_t feeder = ::fork();
    if (feeder == 0) {
      ::signal(SIGPIPE, SIG_DFL);
      program.write(options.input);
      ::_exit(0);
    }
    program.close_input();
    Outcome outcome = program.wait(options.timeout);
    ::kill(feeder, SIGKILL);
    ::waitpid(feeder, nullptr, 0);
    return outcome;
  }
  return program.wait(options.timeout);
}

Background::Background(const std::vector<std::string>& argv, const CommandOptions& options)
    : files_(options.file_output) {
  Pipe in = make_pipe();
  Pipe out = files_ ? make_file() : make_pipe();
  Pipe err = files_ ? make_file() : make_pipe();
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  pid_ = ::fork();
  if (pid_ == 0) {
    become(argv, options, options.null_input ? null : in.read, out.write, err.write);
  }
  ::close(null);
  close_fd(in.read);
  close_fd(out.write);
  close_fd(err.write);
  in_ = in.write;
  out_ = out.read;
  err_ = err.read;
  if (options.null_input) close_fd(in_);
}

Background::~Background() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  close_fd(in_);
  close_fd(out_);
  close_fd(err_);
}

void Background::send(int signal) const {
  ::kill(pid_, signal);
}

void Background::write(const std::string& bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = ::write(in_, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno != EINTR) return;
    if (n > 0) at += static_cast<std::size_t>(n);
  }
}

void Background::close_input() {
  close_fd(in_);
}

bool Background::read_some(std::chrono::milliseconds patience) {
  std::array<pollfd, 2> entries{pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0}};
  if (::poll(entries.data(), entries.size(), static_cast<int>(patience.count())) < 0) {
    return errno == EINTR;
  }
  if (entries[0].revents != 0) take(out_, outcome_.out);
  if (entries[1].revents != 0) take(err_, outcome_.err);
  return out_ >= 0 || err_ >= 0;
}

bool Background::wait_for_output(const std::string& text, std::chrono::seconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (outcome_.out.find(text) == std::string::npos) {
    if (Clock::now() > deadline || !read_some(std::chrono::milliseconds(100))) {
      return outcome_.out.find(text) != std::string::npos;
    }
  }
  return true;
}

Outcome Background::wait(std::chrono::seconds timeout) {
  const auto deadline = Clock::now() + timeout;
  close_fd(in_);
  int wait_status = 0;
  bool reaped = false;
  if (files_) {
    while (!reaped && Clock::now() < deadline) {
      reaped = ::waitpid(pid_, &wait_status, WNOHANG) == pid_;
      const timespec pause{0, 2'000'000};
      if (!reaped) ::nanosleep(&pause, nullptr);
    }
    outcome_.timed_out = !reaped;
    if (!reaped) ::kill(-pid_, SIGKILL);
    while (out_ >= 0) take(out_, outcome_.out);
    while (err_ >= 0) take(err_, outcome_.err);
  }
  while (!files_ && (out_ >= 0 || err_ >= 0 || !reaped)) {
    if (Clock::now() > deadline) {
      outcome_.timed_out = true;
      ::kill(-pid_, SIGKILL);
      break;
    }
    (void)read_some(std::chrono::milliseconds(reaped ? 100 : 10));
    if (!reaped) reaped = ::waitpid(pid_, &wait_status, WNOHANG) == pid_;
  }
  if (!reaped) ::waitpid(pid_, &wait_status, 0);
  pid_ = -1;
  outcome_.status = to_status(wait_status);
  return outcome_;
}

std::vector<std::string> with_etc(const std::string& etc, const std::vector<std::string>& argv) {
  std::vector<std::string> all{
      "unshare",
      "--mount",
      "/bin/sh",
      "-c",
      "mount -t overlay overlay -o lowerdir=\"$0\":/etc /etc && exec \"$@\"",
      etc};
  all.insert(all.end(), argv.begin(), argv.end());
  return all;
}

bool is_gone(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const std::size_t at = stat.rfind(')');
  return at == std::string::npos || stat.substr(at).starts_with(") Z");
}

}  // namespace agentvm::e2e
