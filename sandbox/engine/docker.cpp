#include "sandbox/engine/docker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "oci/base/json_writer.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "sandbox/engine/answers.h"

namespace agentvm::sandbox {

namespace {

constexpr ApiVersion kOldest{1, 41};  // Docker 20.10
constexpr ApiVersion kNewest{1, 47};
constexpr std::string_view kUnix = "unix://";

Result<std::string> socket_of(std::string host) {
  if (host.empty()) {
    const char* set = std::getenv("DOCKER_HOST");
    host = set == nullptr ? "" : set;
  }
  if (host.empty()) return "/var/run/docker.sock";
  if (!host.starts_with(kUnix) || host.size() == kUnix.size()) {
    return fail(
        ErrorKind::invalid_argument,
        fmt::format("the Docker host is '{}': sandboxes need a Docker on this machine, at a "
                    "unix socket (unix:///var/run/docker.sock)",
                    host));
  }
  return host.substr(kUnix.size());
}

Error cannot_reach(const std::string& socket, Error error) {
  switch (error.errnum) {
    case ENOENT:
    case ECONNREFUSED:
      return {ErrorKind::unavailable, 0,
              fmt::format("no Docker daemon answers at {}: start it (systemctl start docker), or "
                          "say where it is with DOCKER_HOST=unix://…",
                          socket)};
    case EACCES:
    case EPERM:
      return {ErrorKind::unavailable, 0,
              fmt::format("you may not talk to Docker at {}: run this with sudo", socket)};
    default:
      return std::move(error).wrap(fmt::format("ask Docker at {}", socket));
  }
}

void write_texts(JsonWriter& json, std::string_view key, const std::vector<std::string>& texts) {
  json.key(key).begin_array();
  for (const std::string& text : texts) json.value(text);
  json.end_array();
}

std::string exec_json(const ExecOrder& order) {
  JsonWriter json;
  json.begin_object();
  json.key("AttachStdin").value(order.input && !order.detach);
  json.key("AttachStdout").value(!order.detach);
  json.key("AttachStderr").value(!order.detach);
  json.key("Tty").value(order.tty);
  write_texts(json, "Cmd", order.command);
  write_texts(json, "Env", order.environment);
  if (!order.user.empty()) json.key("User").value(order.user);
  if (!order.directory.empty()) json.key("WorkingDir").value(order.directory);
  return json.end_object().take();
}

}  // namespace

Result<ApiVersion> parse_api_version(std::string_view text) {
  ApiVersion version;
  const std::size_t dot = text.find('.');
  const char* end = text.data() + text.size();
  if (dot == std::string_view::npos || dot == 0 ||
      std::from_chars(text.data(), text.data() + dot, version.major).ptr != text.data() + dot ||
      std::from_chars(text.data() + dot + 1, end, version.minor).ptr != end ||
      dot + 1 == text.size()) {
    return fail(ErrorKind::unavailable, fmt::format("'{}' is no version of Docker's API", text));
  }
  return version;
}

Result<Docker> Docker::connect(const std::string& host) {
  HttpSocket http(TRY(socket_of(host)));
  auto answer = http.send({.path = "/version", .json = {}, .sink = {}});
  if (!answer) return std::unexpected(cannot_reach(http.path(), std::move(answer).error()));
  if (answer->status != 200) {
    return std::unexpected(engine_error(answer->status, answer->body).wrap("ask Docker's version"));
  }
  const std::string text = TRY(parse_text(answer->body, "ApiVersion"), "Docker's version");
  const ApiVersion theirs = TRY(parse_api_version(text));
  if (theirs < kOldest) {
    return fail(ErrorKind::unavailable,
                fmt::format("this Docker speaks API {}: sandboxes need 1.41 (Docker 20.10)", text));
  }
  return Docker(std::move(http), std::min(theirs, kNewest));
}

std::string Docker::path(std::string_view rest) const {
  return fmt::format("/v{}.{}{}", version_.major, version_.minor, rest);
}

Result<std::string> Docker::call(HttpRequest request) const {
  request.path = path(request.path);
  auto answer = http_.send(request);
  if (!answer) return std::unexpected(cannot_reach(http_.path(), std::move(answer).error()));
  if ((answer->status >= 200 && answer->status < 300) || answer->status == 304) {
    return std::move(answer->body);
  }
  return std::unexpected(engine_error(answer->status, answer->body));
}

Result<std::string> Docker::get(std::string_view rest) const {
  return call({.path = std::string(rest), .json = {}, .sink = {}});
}

Result<std::string> Docker::post(std::string_view rest, std::string json) const {
  return call({.method = "POST", .path = std::string(rest), .json = std::move(json), .sink = {}});
}

Result<UniqueFd> Docker::stream(std::string_view rest, const std::string& json) const {
  auto upgraded = http_.upgrade(path(rest), json);
  if (!upgraded) return std::unexpected(cannot_reach(http_.path(), std::move(upgraded).error()));
  if (upgraded->stream) return std::move(upgraded->stream);
  return std::unexpected(engine_error(upgraded->refusal.status, upgraded->refusal.body));
}

Result<EngineInfo> Docker::info() const {
  const std::string answer = TRY(get("/info"));
  return parse_info(answer);
}

Result<std::string> Docker::create(const std::string& name, const std::string& json) const {
  const std::string answer =
      TRY(post(fmt::format("/containers/create?name={}", percent_encoded(name)), json));
  return parse_text(answer, "Id");
}

Result<void> Docker::start(const std::string& id) const {
  (void)TRY(post(fmt::format("/containers/{}/start", percent_encoded(id))));
  return {};
}

Result<void> Docker::stop(const std::string& id, unsigned seconds) const {
  (void)TRY(post(fmt::format("/containers/{}/stop?t={}", percent_encoded(id), seconds)));
  return {};
}

Result<void> Docker::kill(const std::string& id, const std::string& signal) const {
  (void)TRY(post(fmt::format("/containers/{}/kill?signal={}", percent_encoded(id), signal)));
  return {};
}

Result<void> Docker::remove(const std::string& id, bool force) const {
  (void)TRY(
      call({.method = "DELETE",
            .path = fmt::format("/containers/{}?v=1&force={}", percent_encoded(id), force ? 1 : 0),
            .json = {},
            .sink = {}}));
  return {};
}

Result<int> Docker::wait(const std::string& id) const {
  const std::string answer = TRY(post(fmt::format("/containers/{}/wait", percent_encoded(id))));
  return parse_wait(answer);
}

Result<std::string> Docker::inspect_json(const std::string& id) const {
  return get(fmt::format("/containers/{}/json", percent_encoded(id)));
}

Result<ContainerView> Docker::inspect(const std::string& id) const {
  const std::string answer = TRY(inspect_json(id));
  return parse_container(answer);
}

Result<std::vector<ContainerView>> Docker::list(const std::string& label) const {
  const std::string filters = fmt::format(R"({{"label":["{}"]}})", label);
  const std::string answer =
      TRY(get(fmt::format("/containers/json?all=1&filters={}", percent_encoded(filters))));
  return parse_containers(answer);
}

Result<std::string> Docker::stats_json(const std::string& id) const {
  return get(fmt::format("/containers/{}/stats?stream=0", percent_encoded(id)));
}

Result<UniqueFd> Docker::attach(const std::string& id, bool input) const {
  return stream(fmt::format("/containers/{}/attach?stream=1&stdout=1&stderr=1&stdin={}",
                            percent_encoded(id), input ? 1 : 0),
                "");
}

Result<void> Docker::resize(const std::string& id, unsigned rows, unsigned columns) const {
  (void)TRY(
      post(fmt::format("/containers/{}/resize?h={}&w={}", percent_encoded(id), rows, columns)));
  return {};
}

Result<void> Docker::logs(const std::string& id, const LogOrder& order, Sink sink) const {
  (void)TRY(call(
      {.path = fmt::format("/containers/{}/logs?stdout=1&stderr=1&follow={}&tail={}&timestamps={}",
                           percent_encoded(id), order.follow ? 1 : 0, percent_encoded(order.tail),
                           order.timestamps ? 1 : 0),
       .json = {},
       .sink = std::move(sink)}));
  return {};
}

Result<std::string> Docker::create_exec(const std::string& id, const ExecOrder& order) const {
  const std::string answer =
      TRY(post(fmt::format("/containers/{}/exec", percent_encoded(id)), exec_json(order)));
  return parse_text(answer, "Id");
}

Result<UniqueFd> Docker::start_exec(const std::string& exec, bool tty) const {
  return stream(fmt::format("/exec/{}/start", exec),
                fmt::format(R"({{"Detach":false,"Tty":{}}})", tty));
}

Result<void> Docker::start_exec_detached(const std::string& exec) const {
  (void)TRY(post(fmt::format("/exec/{}/start", exec), R"({"Detach":true})"));
  return {};
}

Result<void> Docker::resize_exec(const std::string& exec, unsigned rows, unsigned columns) const {
  (void)TRY(post(fmt::format("/exec/{}/resize?h={}&w={}", exec, rows, columns)));
  return {};
}

Result<std::optional<int>> Docker::exec_status(const std::string& exec) const {
  const std::string answer = TRY(get(fmt::format("/exec/{}/json", exec)));
  return parse_exec_status(answer);
}

Result<ImageView> Docker::inspect_image(const std::string& image) const {
  const std::string answer = TRY(get(fmt::format("/images/{}/json", percent_encoded(image))));
  return parse_image(answer);
}

Result<std::vector<std::string>> Docker::image_names() const {
  const std::string answer = TRY(get("/images/json"));
  return parse_image_names(answer);
}

Result<void> Docker::pull(const std::string& image,
                          const std::function<void(const PullStep&)>& progress) const {
  // A name without a tag would pull every tag.
  const std::size_t slash = image.rfind('/');
  const bool tagged = image.find('@') != std::string::npos ||
                      image.find(':', slash == std::string::npos ? 0 : slash) != std::string::npos;
  std::string pending;
  Result<void> outcome;
  const auto take_line = [&](std::string_view line) {
    if (line.find_first_not_of(" \r\n") == std::string_view::npos || !outcome) return;
    auto step = parse_pull_step(line);
    if (step) {
      progress(*step);
    } else {
      outcome = std::unexpected(std::move(step).error());
    }
  };
  (void)TRY(call({.method = "POST",
                  .path = fmt::format("/images/create?fromImage={}",
                                      percent_encoded(tagged ? image : image + ":latest")),
                  .json = {},
                  .sink = [&](std::string_view bytes) {
                    pending.append(bytes);
                    for (std::size_t end = 0; (end = pending.find('\n')) != std::string::npos;) {
                      take_line(std::string_view(pending).substr(0, end));
                      pending.erase(0, end + 1);
                    }
                    return pending.size() < HttpSocket::kMaxBody;
                  }}));
  take_line(pending);
  return outcome;
}

Result<std::string> Docker::commit(const std::string& id, const std::string& image,
                                   const std::string& config) const {
  const std::size_t slash = image.rfind('/');
  const std::size_t colon = image.find(':', slash == std::string::npos ? 0 : slash);
  std::string query = fmt::format("container={}&repo={}", percent_encoded(id),
                                  percent_encoded(image.substr(0, colon)));
  query +=
      "&tag=" + (colon == std::string::npos ? "latest" : percent_encoded(image.substr(colon + 1)));
  const std::string answer = TRY(post("/commit?" + query, config));
  return parse_text(answer, "Id");
}

Result<void> Docker::copy_out(const std::string& id, const std::string& path, Sink sink) const {
  (void)TRY(call({.path = fmt::format("/containers/{}/archive?path={}", percent_encoded(id),
                                      percent_encoded(path)),
                  .json = {},
                  .sink = std::move(sink)}));
  return {};
}

Result<void> Docker::copy_in(const std::string& id, const std::string& directory,
                             int archive) const {
  (void)TRY(call({.method = "PUT",
                  .path = fmt::format("/containers/{}/archive?path={}&noOverwriteDirNonDir=1",
                                      percent_encoded(id), percent_encoded(directory)),
                  .json = {},
                  .upload = archive,
                  .sink = {}}));
  return {};
}

}  // namespace agentvm::sandbox
