#include "sandbox/store/control.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

namespace {

constexpr std::size_t kMaxLine = 65'536;
constexpr JsonLimits kLimits{.bytes = kMaxLine, .depth = 8, .values = 1024};
constexpr std::chrono::seconds kPatience{10};

Result<std::string> read_line(int socket) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::string line;
  while (line.size() <= kMaxLine) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd wait{socket, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) == 0) {
      return fail(ErrorKind::unavailable, "the gateway does not answer");
    }
    char bytes[4096];
    const ssize_t got = ::read(socket, bytes, sizeof bytes);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return fail_errno(errno, "read the gateway's answer");
    if (got == 0) return fail(ErrorKind::unavailable, "the gateway ended without an answer");
    line.append(bytes, static_cast<std::size_t>(got));
    if (const std::size_t end = line.find('\n'); end != std::string::npos) {
      line.resize(end);
      return line;
    }
  }
  return fail(ErrorKind::unavailable, "the gateway's answer is too long");
}

// Nothing: nobody listens there.
Result<std::optional<std::string>> ask(const Place& place, const std::string& sandbox,
                                       const std::string& question) {
  TRY(check_sandbox_name(sandbox));
  const auto directory =
      sys::open_at(AT_FDCWD, place.run_of(sandbox), O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (!directory && directory.error().errnum == ENOENT) return std::nullopt;
  if (!directory) return std::unexpected(directory.error());
  const auto socket = sys::connect_unix_at(directory->get(), "control.sock");
  if (!socket) {
    const int code = socket.error().errnum;
    if (code == ENOENT || code == ECONNREFUSED) return std::nullopt;
    return std::unexpected(socket.error());
  }
  TRY(sys::write_all(socket->get(), question + "\n"));
  return TRY(read_line(socket->get()));
}

// Fails unless "ok" is true.
Result<JsonDocument> open_answer(std::string_view line) {
  JsonDocument document = TRY(JsonDocument::parse(line, kLimits));
  bool ok = false;
  std::string error;
  JsonObject object(document.root());
  object.required("ok", ok);
  object.optional("error", error);
  TRY(object.done());
  if (!ok) return fail(ErrorKind::failed_precondition, "the gateway refuses: " + error);
  return document;
}

}  // namespace

Result<UpdateAnswer> parse_update_answer(std::string_view line) {
  const JsonDocument document = TRY(open_answer(line));
  UpdateAnswer answer;
  JsonObject object(document.root());
  object.optional("rules", answer.rules);
  object.optional("microseconds", answer.microseconds);
  TRY(object.done());
  return answer;
}

Result<CheckAnswer> parse_check_answer(std::string_view line) {
  const JsonDocument document = TRY(open_answer(line));
  CheckAnswer answer;
  JsonObject object(document.root());
  object.required("verdict", answer.verdict);
  object.optional("reason", answer.reason);
  object.optional("rule", answer.rule);
  object.optional("layer", answer.layer);
  TRY(object.done());
  return answer;
}

Result<std::optional<UpdateAnswer>> push_update(const Place& place, const std::string& sandbox,
                                                std::string_view gateway_json,
                                                std::string_view values_json) {
  JsonWriter json;
  json.begin_object().key("op").value("update");
  json.key("settings").raw(gateway_json).key("values").raw(values_json).end_object();
  const auto line = TRY(ask(place, sandbox, json.take()));
  if (!line) return std::nullopt;
  return TRY(parse_update_answer(*line));
}

Result<std::optional<CheckAnswer>> ask_check(const Place& place, const std::string& sandbox,
                                             const CheckQuestion& question) {
  JsonWriter json;
  json.begin_object().key("op").value("check").key("host").value(question.host);
  json.key("port").value(question.port).key("method").value(question.method);
  json.key("path").value(question.path).end_object();
  const auto line = TRY(ask(place, sandbox, json.take()));
  if (!line) return std::nullopt;
  return TRY(parse_check_answer(*line));
}

}  // namespace agentvm::sandbox
