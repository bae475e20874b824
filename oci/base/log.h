// The log of a process: one sink, set up once by main. Only mains, CLI verbs and the long-running
// processes log; library code returns Errors. Formats are runc's: text (logfmt) or one JSON object
// a line {"level","msg","time"}. The last level=error line is what Docker shows its user, so it
// must stand alone.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "oci/base/unique_fd.h"

namespace agentvm::log {

enum class Level : std::uint8_t { debug, info, warning, error };
enum class Format : std::uint8_t { text, json };

struct Sink {
  UniqueFd fd;  // opened O_APPEND; without one the log goes to stderr
  Format format = Format::text;
  Level threshold = Level::info;
};

// Replaces the process's sink. Not thread-safe: call it from main before anything logs.
void set_sink(Sink sink);
// The fd of the sink (2 when none was set): what a child process inherits.
[[nodiscard]] int sink_fd();

// Gives a sink that is stderr a duplicate of its own, so that fd 2 can be put to another use.
void keep_stderr();

void write(Level level, std::string_view message);
// One line as it would be written, newline included; for tests and for set sinks elsewhere.
[[nodiscard]] std::string format_line(Format format, Level level, std::string_view message,
                                      std::string_view time_rfc3339);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace agentvm::log
