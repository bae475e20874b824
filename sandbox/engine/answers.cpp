#include "sandbox/engine/answers.h"

#include <fmt/format.h>

#include "oci/base/json_reader.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

namespace {

using Texts = std::vector<std::string>;
using Labels = std::map<std::string, std::string>;

constexpr std::size_t kMaxMessage = 4096;

Result<void> read_published(JsonValue port, std::vector<PublishedPort>& out) {
  for (std::size_t i = 0; i < port.size(); ++i) {
    JsonObject object(port.item(i));
    PublishedPort published;
    published.container = port.key();
    object.optional("HostIp", published.host_ip);
    object.optional("HostPort", published.host_port);
    TRY(object.done());
    out.push_back(std::move(published));
  }
  return {};
}

void read_config(JsonObject& config, ContainerView& view) {
  config.optional("Image", view.image);
  config.optional("Tty", view.tty);
  config.optional("Labels", view.labels);
}

std::string_view without_slash(std::string_view name) {
  if (name.starts_with('/')) name.remove_prefix(1);
  return name;
}

// Of GET /containers/json: another shape than inspect's.
Result<ContainerView> read_listed(JsonValue value) {
  ContainerView view;
  Texts names;
  JsonObject object(value);
  object.required("Id", view.id);
  object.optional("Names", names);
  object.optional("Image", view.image);
  object.optional("State", view.status);
  object.optional("Labels", view.labels);
  const auto ports = object.value("Ports");
  TRY(object.done());
  if (!names.empty()) view.name = without_slash(names.front());
  for (std::size_t i = 0; ports && i < ports->size(); ++i) {
    PublishedPort port;
    std::string type = "tcp";
    unsigned inside = 0;
    unsigned outside = 0;
    JsonObject entry(ports->item(i));
    entry.optional("IP", port.host_ip);
    entry.optional("PrivatePort", inside);
    entry.optional("PublicPort", outside);
    entry.optional("Type", type);
    TRY(entry.done());
    if (outside == 0) continue;
    port.container = fmt::format("{}/{}", inside, type);
    port.host_port = std::to_string(outside);
    view.ports.push_back(std::move(port));
  }
  return view;
}

}  // namespace

Result<ContainerView> parse_container(std::string_view json) {
  const JsonDocument document = TRY(JsonDocument::parse(json));
  ContainerView view;
  std::string name;
  JsonObject object(document.root());
  object.required("Id", view.id);
  object.optional("Name", name);
  const auto state = object.value("State");
  const auto config = object.value("Config");
  const auto network = object.value("NetworkSettings");
  TRY(object.done());
  view.name = without_slash(name);
  if (state) {
    JsonObject inner(*state);
    inner.optional("Status", view.status);
    inner.optional("ExitCode", view.exit_status);
    TRY(inner.done());
  }
  if (config) {
    JsonObject inner(*config);
    read_config(inner, view);
    TRY(inner.done());
  }
  const auto ports = network ? network->find("Ports") : std::nullopt;
  for (std::size_t i = 0; ports && i < ports->size(); ++i) {
    TRY(read_published(ports->item(i), view.ports));
  }
  return view;
}

Result<std::vector<ContainerView>> parse_containers(std::string_view json) {
  const JsonDocument document = TRY(JsonDocument::parse(json));
  TRY(document.root().expect(JsonKind::array));
  std::vector<ContainerView> views;
  for (std::size_t i = 0; i < document.root().size(); ++i) {
    views.push_back(TRY(read_listed(document.root().item(i))));
  }
  return views;
}

Result<ImageView> parse_image(std::string_view json) {
  const JsonDocument document = TRY(JsonDocument::parse(json));
  ImageView view;
  JsonObject object(document.root());
  object.required("Id", view.id);
  const auto config = object.value("Config");
  TRY(object.done());
  if (!config) return view;
  JsonObject inner(*config);
  inner.optional("Entrypoint", view.entrypoint);
  inner.optional("Cmd", view.command);
  inner.optional("User", view.user);
  inner.optional("WorkingDir", view.directory);
  TRY(inner.done());
  return view;
}

Result<std::vector<std::string>> parse_image_names(std::string_view json) {
  const JsonDocument document = TRY(JsonDocument::parse(json));
  TRY(document.root().expect(JsonKind::array));
  Texts names;
  for (std::size_t i = 0; i < document.root().size(); ++i) {
    Texts tags;
    JsonObject object(document.root().item(i));
    object.optional("RepoTags", tags);
    TRY(object.done());
    names.insert(names.end(), tags.begin(), tags.end());
  }
  return names;
}

Result<EngineInfo> parse_info(std::string_view json) {
  const JsonDocument document = TRY(JsonDocument::parse(json));
  EngineInfo info;
  JsonObject object(document.root());
  object.optional("ServerVersion", info.version);
  object.optional("Driver", info.storage);
  object.optional("MemTotal", info.memory);
  object.optional("NCPU", info.cpus);
  const auto runtimes = object.value("Runtimes");
  TRY(object.done());
  for (std::size_t i = 0; runtimes && i < runtimes->size(); ++i) {
    info.runtimes.emplace_back(runtimes->item(i).key());
  }
  return info;
}

Result<std::string> parse_text(std::string_view json, std::string_view member) {
  const JsonDocument document = TRY(JsonDocument::parse(json));
  std::string text;
  JsonObject object(document.root());
  object.required(member, text);
  TRY(object.done());
  return text;
}

Result<std::optional<int>> parse_exec_status(std::string_view json) {
  const JsonDocument document = TRY(JsonDocument::parse(json));
  bool runs = false;
  std::optional<int> status;
  JsonObject object(document.root());
  object.optional("Running", runs);
  object.optional("ExitCode", status);
  TRY(object.done());
  if (runs) return std::nullopt;
  return status;
}

Result<int> parse_wait(std::string_view json) {
  const JsonDocument document = TRY(JsonDocument::parse(json));
  int status = 0;
  JsonObject object(document.root());
  object.required("StatusCode", status);
  TRY(object.done());
  return status;
}

Result<PullStep> parse_pull_step(std::string_view line) {
  const JsonDocument document = TRY(JsonDocument::parse(line));
  PullStep step;
  std::string error;
  JsonObject object(document.root());
  object.optional("id", step.layer);
  object.optional("status", step.status);
  object.optional("error", error);
  const auto detail = object.value("progressDetail");
  TRY(object.done());
  if (!error.empty()) return fail(ErrorKind::unavailable, error);
  if (detail) {
    JsonObject inner(*detail);
    inner.optional("current", step.current);
    inner.optional("total", step.total);
    TRY(inner.done());
  }
  return step;
}

Error engine_error(long status, std::string_view body) {
  Error error;
  switch (status) {
    case 400:
      error.kind = ErrorKind::invalid_argument;
      break;
    case 404:
      error.kind = ErrorKind::not_found;
      break;
    case 409:
      error.kind = ErrorKind::already_exists;
      break;
    default:
      error.kind = ErrorKind::unavailable;
  }
  const auto message = parse_text(body, "message");
  error.message = message ? *message : std::string(body.substr(0, kMaxMessage));
  while (error.message.ends_with('\n')) error.message.pop_back();
  if (error.message.empty()) error.message = fmt::format("Docker answers with status {}", status);
  return error;
}

}  // namespace agentvm::sandbox
