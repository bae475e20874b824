#include "sandbox/engine/container_request.h"

#include <fmt/format.h>

#include <charconv>
#include <map>

#include "egress/host.h"
#include "oci/base/json_writer.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

namespace {

constexpr ApiVersion kAnnotations{1, 43};
constexpr double kNano = 1e9;

bool is_port(std::string_view text) {
  unsigned number = 0;
  const char* end = text.data() + text.size();
  return std::from_chars(text.data(), end, number).ptr == end && number >= 1 && number <= 65'535;
}

void write_mount(JsonWriter& json, const std::string& source, const std::string& target,
                 bool read_only) {
  json.begin_object().key("Type").value("bind");
  json.key("Source").value(source).key("Target").value(target);
  json.key("ReadOnly").value(read_only).end_object();
}

void write_ports(JsonWriter& json, const std::vector<PortMapping>& ports) {
  std::map<std::string, std::vector<const PortMapping*>> by_port;
  for (const PortMapping& port : ports) by_port[port.container].push_back(&port);
  json.key("PortBindings").begin_object();
  for (const auto& [container, mappings] : by_port) {
    json.key(container).begin_array();
    for (const PortMapping* mapping : mappings) {
      json.begin_object().key("HostIp").value(mapping->host_ip);
      json.key("HostPort").value(mapping->host_port).end_object();
    }
    json.end_array();
  }
  json.end_object();
}

void write_host_config(JsonWriter& json, const Record& record, const std::string& guest,
                       const std::vector<PortMapping>& ports, ApiVersion version) {
  json.key("HostConfig").begin_object();
  json.key("Runtime").value(record.runtime);
  json.key("Mounts").begin_array();
  for (const Workspace& workspace : record.workspaces) {
    write_mount(json, workspace.path, workspace.path, workspace.read_only);
  }
  write_mount(json, guest, kGuestPlace, true);
  json.end_array();
  json.key("NanoCpus").value(static_cast<std::int64_t>(record.cpus * kNano));
  json.key("Memory").value(record.memory);
  write_ports(json, ports);
  if (version >= kAnnotations) {
    json.key("Annotations").begin_object().key(kLabel).value(record.name).end_object();
  }
  json.end_object();
}

}  // namespace

Result<PortMapping> parse_port(std::string_view text) {
  const std::string whole(text);
  const auto refuse = [&] {
    return fail(ErrorKind::invalid_argument,
                fmt::format("port '{}': expected [[ADDRESS:]HOST-PORT:]PORT[/udp]", whole));
  };
  PortMapping mapping{.host_ip = "127.0.0.1", .host_port = {}, .container = {}};
  std::string_view protocol = "tcp";
  if (const std::size_t slash = text.rfind('/'); slash != std::string_view::npos) {
    protocol = text.substr(slash + 1);
    text = text.substr(0, slash);
  }
  const std::size_t last = text.rfind(':');
  const std::string_view inside = last == std::string_view::npos ? text : text.substr(last + 1);
  if (!is_port(inside) || (protocol != "tcp" && protocol != "udp")) return refuse();
  mapping.container = fmt::format("{}/{}", inside, protocol);
  if (last == std::string_view::npos) return mapping;
  text = text.substr(0, last);
  const std::size_t colon = text.rfind(':');
  const bool with_address = colon != std::string_view::npos;
  mapping.host_port = with_address ? text.substr(colon + 1) : text;
  if (!mapping.host_port.empty() && !is_port(mapping.host_port)) return refuse();
  if (!with_address) return mapping;
  std::string_view address = text.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  }
  if (!egress::parse_address(address)) return refuse();
  mapping.host_ip = address;
  return mapping;
}

Result<std::string> container_request(const Record& record, const std::string& guest,
                                      ApiVersion version) {
  std::vector<PortMapping> ports;
  for (const std::string& port : record.ports) ports.push_back(TRY(parse_port(port)));
  JsonWriter json;
  json.begin_object().key("Image").value(record.image);
  json.key("User").value("0:0");
  json.key("Entrypoint");
  write_json(json, std::vector<std::string>{"/bin/sh", std::string(kGuestPlace) + "/enter.sh"});
  json.key("Cmd");
  write_json(json, std::vector<std::string>{"main"});
  json.key("WorkingDir").value(record.workspaces.empty() ? "/" : record.workspaces.front().path);
  json.key("Tty").value(record.tty).key("OpenStdin").value(true);
  // A terminal can be left and come back to; a pipe ends once.
  json.key("StdinOnce").value(!record.tty);
  json.key("Env").begin_array().value(fmt::format("{}={}", kMarker, record.name));
  for (const std::string& variable : record.environment) json.value(variable);
  json.end_array();
  json.key("Labels").begin_object();
  json.key(kLabel).value(record.name).key(kAgentLabel).value(record.agent);
  json.key(kWorkspaceLabel).value(record.workspaces.empty() ? "" : record.workspaces.front().path);
  json.end_object();
  json.key("ExposedPorts").begin_object();
  std::map<std::string, bool> exposed;
  for (const PortMapping& port : ports) {
    if (exposed.emplace(port.container, true).second) {
      json.key(port.container).begin_object().end_object();
    }
  }
  json.end_object();
  write_host_config(json, record, guest, ports, version);
  return json.end_object().take();
}

}  // namespace agentvm::sandbox
