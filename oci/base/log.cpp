#include "oci/base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <ctime>

namespace agentvm::log {

namespace {

Sink& sink() {
  static Sink the_sink;
  return the_sink;
}

std::string_view name_of(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      return "error";
  }
  return "error";
}

// Quotes for JSON (RFC 8259) and, which is the same set plus nothing, for logfmt.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string now_rfc3339() {
  std::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec);
}

}  // namespace

void set_sink(Sink new_sink) {
  sink() = std::move(new_sink);
}

int sink_fd() {
  return sink().fd ? sink().fd.get() : STDERR_FILENO;
}

void keep_stderr() {
  if (!sink().fd) sink().fd.reset(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
}

std::string format_line(Format format, Level level, std::string_view message,
                        std::string_view time) {
  if (format == Format::json) {
    return fmt::format("{{\"level\":\"{}\",\"msg\":{},\"time\":\"{}\"}}\n", name_of(level),
                       quoted(message), time);
  }
  return fmt::format("time=\"{}\" level={} msg={}\n", time, name_of(level), quoted(message));
}

void write(Level level, std::string_view message) {
  if (level < sink().threshold) return;
  const std::string line = format_line(sink().format, level, message, now_rfc3339());
  // One write(2) with O_APPEND: lines of several processes do not mix. A log that cannot be
  // written must not stop a container.
  [[maybe_unused]] const ssize_t written = ::write(sink_fd(), line.data(), line.size());
}

}  // namespace agentvm::log
