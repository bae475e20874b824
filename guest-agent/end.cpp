#include "guest-agent/end.h"

#include <fcntl.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>

namespace agentvm::guest {

namespace {

constexpr std::array kFatal = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};

// Async-signal-safe, and right even when fd 2 is not what it was.
void print(std::string_view text) {
  int console = ::open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (console < 0) console = STDERR_FILENO;
  [[maybe_unused]] const ssize_t written = ::write(console, text.data(), text.size());
}

extern "C" void on_crash(int signal) {
  char text[] = "agentvm-agent: crashed by signal 00\n";
  text[sizeof text - 4] = static_cast<char>('0' + signal / 10);
  text[sizeof text - 3] = static_cast<char>('0' + signal % 10);
  // A forked child is PID 1 too when it is the first of a pid namespace: there reboot(2) ends only
  // that namespace.
  if (::getpid() != 1) ::_exit(128 + signal);
  print({text, sizeof text - 1});
  power_off();
}

}  // namespace

void power_off_on_crash() {
  // The stack may be what is broken.
  static std::array<char, 65536> stack;
  stack_t alternate{};
  alternate.ss_sp = stack.data();
  alternate.ss_size = stack.size();
  ::sigaltstack(&alternate, nullptr);
  struct sigaction action{};
  action.sa_handler = on_crash;
  action.sa_flags = static_cast<int>(SA_ONSTACK | SA_RESETHAND | SA_NODEFER);
  for (const int signal : kFatal) ::sigaction(signal, &action, nullptr);
}

void power_off() {
  // Without ACPI "power off" is a halt that lasts for ever; a reset ends the VM as well, since it
  // runs with -no-reboot.
  const bool acpi = ::access("/sys/firmware/acpi", F_OK) == 0;
  ::reboot(acpi ? RB_POWER_OFF : RB_AUTOBOOT);
  ::_exit(1);
}

void die(std::string_view why) {
  std::array<char, 1024> line;
  constexpr std::string_view kPrefix = "agentvm-agent: ";
  const std::size_t taken = std::min(why.size(), line.size() - kPrefix.size() - 1);
  std::memcpy(line.data(), kPrefix.data(), kPrefix.size());
  std::memcpy(line.data() + kPrefix.size(), why.data(), taken);
  line[kPrefix.size() + taken] = '\n';
  print({line.data(), kPrefix.size() + taken + 1});
  power_off();
}

}  // namespace agentvm::guest
