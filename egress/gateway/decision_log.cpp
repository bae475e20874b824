#include "egress/gateway/decision_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdio>

#include "oci/base/json_writer.h"
#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

constexpr const char* kFile = "decisions.jsonl";

std::string file_name(unsigned number) {
  return number == 0 ? kFile : fmt::format("{}.{}", kFile, number);
}

std::string now_text() {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto second = std::chrono::floor<std::chrono::seconds>(now);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(second)),
                     (now - second).count());
}

}  // namespace

std::string write_record(const DecisionRecord& record, std::string_view sandbox,
                         std::string_view time) {
  JsonWriter json;
  const auto text = [&](std::string_view key, std::string_view value) {
    if (!value.empty()) json.key(key).value(value.substr(0, DecisionLog::kMaxText));
  };
  json.begin_object();
  text("time", time);
  text("sandbox", sandbox);
  text("protocol", record.protocol);
  json.key("verdict").value(record.allowed ? "allow" : "deny");
  text("host", record.host);
  if (record.port != 0) json.key("port").value(record.port);
  text("address", record.address);
  text("method", record.method);
  text("path", record.path);
  text("rule", record.rule);
  text("layer", record.layer);
  text("reason", record.reason);
  json.key("bytes_in").value(record.bytes_in);
  json.key("bytes_out").value(record.bytes_out);
  if (!record.credentials.empty()) {
    json.key("credentials").begin_array();
    for (const std::string& name : record.credentials) json.value(name);
    json.end_array();
  }
  json.end_object();
  return json.take() + "\n";
}

Result<DecisionLog> DecisionLog::create(UniqueFd directory, std::string sandbox,
                                        std::uint64_t max_bytes) {
  DecisionLog log(std::move(directory), std::move(sandbox), max_bytes);
  TRY(log.open(), "decision log");
  return log;
}

Result<void> DecisionLog::open() {
  file_ = TRY(sys::open_at(directory_.get(), kFile,
                           O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0640));
  struct stat status{};
  if (::fstat(file_.get(), &status) != 0) return fail_errno(errno, kFile);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorKind::failed_precondition, std::string(kFile) + " is no file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  return {};
}

void DecisionLog::rotate() {
  for (unsigned number = kKept; number-- > 0;) {
    // Those that are not there yet are not missed.
    (void)::renameat(directory_.get(), file_name(number).c_str(), directory_.get(),
                     file_name(number + 1).c_str());
  }
}

Result<void> DecisionLog::append(std::string_view line) {
  if (size_ + line.size() > max_bytes_) rotate();
  if (!file_ || size_ + line.size() > max_bytes_) TRY(open());
  const auto written = sys::write_all(file_.get(), line);
  // Half a line, from a disk that was full, may have come before.
  size_ += line.size();
  return written;
}

void DecisionLog::write(const DecisionRecord& record) {
  ++(record.allowed ? allowed_ : denied_);
  const auto written = append(write_record(record, sandbox_, now_text()));
  if (written) return;
  if (lost_++ == 0) log::warning("decisions are not recorded: {}", written.error().text());
}

}  // namespace agentvm::egress
