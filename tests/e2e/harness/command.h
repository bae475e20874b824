// Running a program to its end, as a user would, with everything it printed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace agentvm::e2e {

struct Outcome {
  int status = -1;  // exit status, or 128 + signal
  std::string out;
  std::string err;
  bool timed_out = false;
};

struct CommandOptions {
  std::string input;                     // standard input, then its end
  std::string directory;                 // working directory; empty: ours
  std::vector<std::string> environment;  // NAME=VALUE, besides PATH
  std::chrono::seconds timeout{120};     // then SIGKILL to the whole group
  bool file_output = false;              // output goes to files; run_command sets it
  bool null_input = true;                // /dev/null unless `input` is given
};

// Its output goes to files: a container that it leaves running holds them, as it would a pipe, and
// nobody waits for that.
[[nodiscard]] Outcome run_command(const std::vector<std::string>& argv,
                                  const CommandOptions& options = {});

// A program that goes on while the test does other things. Killed when the object goes.
class Background {
 public:
  explicit Background(const std::vector<std::string>& argv, const CommandOptions& options = {});
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void send(int signal) const;
  void write(const std::string& bytes);
  void close_input();
  // Reads standard output until it holds `text`; false at its end or after the time-out.
  [[nodiscard]] bool wait_for_output(const std::string& text,
                                     std::chrono::seconds timeout = std::chrono::seconds(60));
  // Waits for the end; 128 + signal as run_command.
  [[nodiscard]] Outcome wait(std::chrono::seconds timeout = std::chrono::seconds(120));

 private:
  bool read_some(std::chrono::milliseconds patience);
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  int err_ = -1;
  bool files_ = false;
  Outcome outcome_;
};

// The command with the files below directory `etc` laid over the host's /etc, for programs that can
// be told of no other place; in a mount namespace of its own.
[[nodiscard]] std::vector<std::string> with_etc(const std::string& etc,
                                                const std::vector<std::string>& argv = {});

// Whether a process has ended; that its new parent has not reaped it yet does not count.
[[nodiscard]] bool is_gone(pid_t pid);

// Polls `condition` every 10 ms; for what has no event to wait for from outside.
template <class Condition>
bool eventually(Condition condition, std::chrono::seconds timeout = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    const timespec pause{0, 10'000'000};
    ::nanosleep(&pause, nullptr);
  }
  return true;
}

}  // namespace agentvm::e2e
