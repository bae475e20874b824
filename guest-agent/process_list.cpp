#include "guest-agent/process_list.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "guest-agent/cgroup_files.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

constexpr std::string_view kBlanks = " \t\n";

constexpr std::size_t kMaxCommand = 512;

template <class T>
Result<T> number(std::string_view text, std::string_view what) {
  T value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end == text.data()) {
    return fail(ErrorKind::internal, fmt::format("{} '{}' is no number", what, text));
  }
  return value;
}

std::vector<std::string_view> status_fields(std::string_view status, std::string_view key) {
  for (const std::string_view line : lines_of(status)) {
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ':') {
      return split(line.substr(key.size() + 1), kBlanks);
    }
  }
  return {};
}

// The encoding of dev_t in /proc/PID/stat; the names of those ttys that containers have.
std::string tty_name(std::uint64_t number) {
  const std::uint64_t major = (number >> 8) & 0xfff;
  const std::uint64_t minor = (number & 0xff) | ((number >> 12) & 0xfff00);
  if (number == 0) return "?";
  if (major >= 136 && major <= 143) return fmt::format("pts/{}", (major - 136) * 256 + minor);
  if (major == 4 && minor >= 64) return fmt::format("ttyS{}", minor - 64);
  if (major == 4) return fmt::format("tty{}", minor);
  if (major == 5 && minor == 1) return "console";
  return fmt::format("{}:{}", major, minor);
}

std::string join_arguments(std::string_view command_line, std::string_view comm) {
  while (command_line.ends_with('\0')) command_line.remove_suffix(1);
  if (command_line.empty()) return fmt::format("[{}]", comm);
  std::string joined(command_line.substr(0, kMaxCommand));
  std::ranges::replace(joined, '\0', ' ');
  return joined;
}

// Up to `limit` bytes: a process chooses how long its arguments are.
std::string read_start(const std::string& path, std::size_t limit) {
  std::string bytes(limit, '\0');
  const auto fd = sys::open_at(AT_FDCWD, path, O_RDONLY);
  const ssize_t n = fd ? ::read(fd->get(), bytes.data(), bytes.size()) : 0;
  bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return bytes;
}

}  // namespace

Result<ProcessEntry> parse_process(std::string_view stat, std::string_view status,
                                   std::string_view command_line, std::uint64_t ticks_per_s) {
  // The name may hold blanks and brackets: it ends at the last bracket.
  const std::size_t open = stat.find('(');
  const std::size_t close = stat.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return fail(ErrorKind::internal, "stat is not as proc(5) says");
  }
  // fields[0] is field 3, the state.
  const auto fields = split(stat.substr(close + 1), kBlanks);
  if (fields.size() < 20) return fail(ErrorKind::internal, "stat is not as proc(5) says");
  ProcessEntry entry;
  entry.pid = TRY(number<pid_t>(stat.substr(0, open), "pid"));
  entry.ppid = TRY(number<pid_t>(fields[1], "ppid"));
  entry.tty = tty_name(TRY(number<std::uint64_t>(fields[4], "tty")));
  const auto user_ticks = TRY(number<std::uint64_t>(fields[11], "utime"));
  const auto system_ticks = TRY(number<std::uint64_t>(fields[12], "stime"));
  const auto start_ticks = TRY(number<std::uint64_t>(fields[19], "start time"));
  entry.cpu_time_ms = (user_ticks + system_ticks) * 1000 / ticks_per_s;
  entry.start_time_ms = start_ticks * 1000 / ticks_per_s;
  const auto uids = status_fields(status, "Uid");
  if (uids.empty()) return fail(ErrorKind::internal, "status has no Uid");
  entry.uid = TRY(number<std::uint32_t>(uids[0], "uid"));
  for (const std::string_view pid : status_fields(status, "NSpid")) {
    entry.namespace_pids.push_back(TRY(number<pid_t>(pid, "NSpid")));
  }
  entry.command = join_arguments(command_line, stat.substr(open + 1, close - open - 1));
  return entry;
}

std::vector<ProcessEntry> read_processes(std::span<const pid_t> pids) {
  static const auto ticks_per_s = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  std::vector<ProcessEntry> entries;
  for (const pid_t pid : pids) {
    const std::string directory = fmt::format("/proc/{}/", pid);
    auto entry =
        parse_process(read_start(directory + "stat", 4096), read_start(directory + "status", 8192),
                      read_start(directory + "cmdline", kMaxCommand), ticks_per_s);
    if (entry) entries.push_back(*std::move(entry));
  }
  return entries;
}

}  // namespace agentvm::guest
