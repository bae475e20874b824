#include "sandbox/store/gateway_file.h"

#include "oci/base/json_writer.h"

namespace agentvm::sandbox {

namespace {

void write_request(JsonWriter& json, const std::string& method, const std::string& path) {
  if (!method.empty()) json.key("method").value(method);
  if (!path.empty()) json.key("path").value(path);
}

void write_layers(JsonWriter& json, const std::vector<RuleLayer>& layers) {
  json.key("layers").begin_array();
  for (const RuleLayer& layer : layers) {
    json.begin_object().key("name").value(layer.name).key("rules").begin_array();
    for (const RuleText& rule : layer.rules) write_json(json, rule);
    json.end_array().end_object();
  }
  json.end_array();
}

void write_credential(JsonWriter& json, const Credential& credential) {
  json.begin_object().key("name").value(credential.name);
  json.key("hosts");
  write_json(json, credential.hosts);
  json.key("headers");
  write_json(json, credential.headers);
  json.key("placeholder").value(kPlaceholder);
  write_request(json, credential.method, credential.path);
  json.end_object();
}

}  // namespace

std::vector<RuleLayer> rule_layers(const Record& record, const Preset& preset, const Agent& agent,
                                   const UserPolicy& user) {
  std::vector<RuleLayer> layers;
  const auto add = [&](std::string name, std::vector<RuleText> rules) {
    if (!rules.empty()) layers.push_back({std::move(name), std::move(rules)});
  };
  add("preset " + preset.name, preset.rules);
  if (record.agent_hosts) {
    std::vector<RuleText> own;
    for (const std::string& host : agent.hosts) own.push_back({true, host, {}, {}});
    add("agent " + agent.name, std::move(own));
  }
  add("user", user.rules);
  add("sandbox", record.rules);
  return layers;
}

std::string gateway_json(const Record& record, bool allows, const std::vector<RuleLayer>& layers,
                         const std::vector<Credential>& credentials, const Authority& authority) {
  JsonWriter json;
  json.begin_object().key("version").value(1);
  json.key("sandbox").value(record.name).key("container").value(record.container);
  json.key("default").value(allows ? "allow" : "deny");
  write_layers(json, layers);
  json.key("credentials").begin_array();
  for (const Credential& credential : credentials) write_credential(json, credential);
  json.end_array();
  json.key("ca").begin_object();
  json.key("certificate").value(authority.certificate).key("key").value(authority.key);
  return json.end_object().end_object().take();
}

std::string machine_json(const Record& record) {
  JsonWriter json;
  json.begin_object().key("version").value(1).key("container").value(record.container);
  json.key("docker").value(record.docker);
  if (record.disk_mib != 0) json.key("disk_mib").value(record.disk_mib);
  return json.end_object().take();
}

std::string values_json(const std::map<std::string, std::string>& values) {
  JsonWriter json;
  json.begin_object().key("version").value(1).key("values");
  write_json(json, values);
  return json.end_object().take();
}

}  // namespace agentvm::sandbox
