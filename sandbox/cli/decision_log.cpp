#include "sandbox/cli/decision_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "oci/base/json_reader.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "sandbox/cli/table.h"

namespace agentvm::sandbox {

namespace {

constexpr std::size_t kMaxLine = 65'536;
constexpr JsonLimits kLimits{.bytes = kMaxLine, .depth = 8, .values = 1024};
constexpr int kRotated = 9;  // more than the gateway keeps
constexpr const char* kCurrent = "decisions.jsonl";

class Printer {
 public:
  explicit Printer(const DecisionLogOrder& order) : order_(order) {}

  // What is there to the end of the file; a line that is not whole waits.
  Result<void> drain(int fd) {
    std::array<char, kMaxLine> bytes;
    while (true) {
      const ssize_t got = ::read(fd, bytes.data(), bytes.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno(errno, "read the decisions");
      if (got == 0) break;
      pending_.append(bytes.data(), static_cast<std::size_t>(got));
      for (std::size_t end = 0; (end = pending_.find('\n')) != std::string::npos;) {
        print(std::string_view(pending_).substr(0, end));
        pending_.erase(0, end + 1);
      }
      if (pending_.size() > kMaxLine) pending_.clear();
    }
    std::fflush(stdout);
    return {};
  }

 private:
  void print(std::string_view line) const {
    const auto decision = parse_decision(line);
    if (!decision) {
      fmt::print("{}\n", order_.json ? "{\"broken\":true}" : "(a line that is no decision)");
      return;
    }
    if (order_.only_denied && decision->verdict != "deny") return;
    fmt::print("{}\n", order_.json ? harmless(line) : to_text(*decision));
  }

  const DecisionLogOrder& order_;
  std::string pending_;
};

// The gateway can be of another mind about what lies there: links are not followed, nor anything
// but a file read.
Result<UniqueFd> open_log(int directory, const std::string& name) {
  auto fd = TRY(sys::open_at(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(ErrorKind::failed_precondition, fmt::format("'{}' is no file", name));
  }
  return fd;
}

Result<void> follow(const DecisionLogOrder& order, int directory, UniqueFd current,
                    Printer& printer) {
  const UniqueFd changes(::inotify_init1(IN_CLOEXEC));
  if (!changes || ::inotify_add_watch(changes.get(), order.directory.c_str(),
                                      IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
    return fail_errno(errno, fmt::format("watch '{}'", order.directory));
  }
  while (true) {
    if (current) TRY(printer.drain(current.get()));
    std::array<char, 4096> events;
    if (::read(changes.get(), events.data(), events.size()) < 0 && errno != EINTR) {
      return fail_errno(errno, "wait for decisions");
    }
    if (current) TRY(printer.drain(current.get()));
    // Another file of the name when it was rotated, the same one otherwise.
    struct stat before{};
    struct stat now{};
    const bool same = current && ::fstat(current.get(), &before) == 0 &&
                      ::fstatat(directory, kCurrent, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
                      before.st_ino == now.st_ino;
    if (same) continue;
    if (auto opened = open_log(directory, kCurrent)) current = *std::move(opened);
  }
}

}  // namespace

Result<DecisionLine> parse_decision(std::string_view line) {
  const JsonDocument document = TRY(JsonDocument::parse(line, kLimits));
  DecisionLine decision;
  JsonObject object(document.root());
  object.required("time", decision.time);
  object.required("verdict", decision.verdict);
  object.optional("host", decision.host);
  object.optional("port", decision.port);
  object.optional("protocol", decision.protocol);
  object.optional("method", decision.method);
  object.optional("path", decision.path);
  object.optional("rule", decision.rule);
  object.optional("reason", decision.reason);
  object.optional("credentials", decision.credentials);
  TRY(object.done());
  return decision;
}

std::string to_text(const DecisionLine& decision) {
  std::string text = fmt::format("{} {:<5} {:<4} {}", decision.time, decision.verdict,
                                 decision.protocol, decision.host);
  if (decision.port != 0) text += fmt::format(":{}", decision.port);
  if (!decision.method.empty()) text += " " + decision.method;
  if (!decision.path.empty()) text += " " + decision.path;
  const std::string& why = decision.rule.empty() ? decision.reason : decision.rule;
  if (!why.empty()) text += " (" + why + ")";
  if (!decision.credentials.empty()) {
    text += fmt::format(" with {}", fmt::join(decision.credentials, ", "));
  }
  return harmless(text);
}

Result<void> print_decisions(const DecisionLogOrder& order) {
  const auto directory =
      sys::open_at(AT_FDCWD, order.directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) {
    if (directory.error().errnum == ENOENT) return {};  // it has never run
    return std::unexpected(directory.error());
  }
  Printer printer(order);
  for (int i = kRotated; i > 0; --i) {
    const auto old = open_log(directory->get(), fmt::format("{}.{}", kCurrent, i));
    if (old) TRY(printer.drain(old->get()));
  }
  auto current = open_log(directory->get(), kCurrent);
  if (!current && current.error().errnum != ENOENT) return std::unexpected(current.error());
  if (current) TRY(printer.drain(current->get()));
  if (!order.follow) return {};
  return follow(order, directory->get(), current ? *std::move(current) : UniqueFd(), printer);
}

}  // namespace agentvm::sandbox
