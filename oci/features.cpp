#include "oci/features.h"

#include <string_view>
#include <vector>

#include "oci/base/json_writer.h"
#include "oci/mount_options.h"
#include "oci/spec_parser.h"
#include "oci/spec_words.h"

namespace agentvm::oci {

namespace {

template <class List>
void write_list(JsonWriter& json, std::string_view key, const List& words) {
  json.key(key).begin_array();
  for (const std::string_view word : words) json.value(word);
  json.end_array();
}

void write_enabled(JsonWriter& json, std::string_view key, bool enabled) {
  json.key(key).begin_object();
  json.key("enabled").value(enabled);
  json.end_object();
}

// cgroup v1 is what the host may have: the container's own cgroups are the guest's, always v2.
void write_cgroup(JsonWriter& json, bool systemd) {
  json.key("cgroup").begin_object();
  json.key("v1").value(true);
  json.key("v2").value(true);
  json.key("systemd").value(systemd);
  json.key("systemdUser").value(false);
  json.key("rdma").value(false);
  json.end_object();
}

void write_seccomp(JsonWriter& json, bool enabled) {
  json.key("seccomp").begin_object();
  json.key("enabled").value(enabled);
  if (enabled) {
    std::vector<std::string_view> actions;
    for (const std::string_view action : seccomp_actions()) {
      if (action != "SCMP_ACT_NOTIFY") actions.push_back(action);
    }
    write_list(json, "actions", actions);
    write_list(json, "operators", seccomp_operators());
    write_list(json, "archs", seccomp_archs());
    write_list(json, "knownFlags", seccomp_flags());
    write_list(json, "supportedFlags", seccomp_flags());
  }
  json.end_object();
}

void write_linux(JsonWriter& json, const FeaturesInput& input) {
  json.key("linux").begin_object();
  std::vector<std::string_view> namespaces;
  for (const auto& [word, type] : json_words(NamespaceType{})) namespaces.push_back(word);
  write_list(json, "namespaces", namespaces);
  write_list(json, "capabilities", capability_names());
  write_cgroup(json, input.systemd_cgroups);
  write_seccomp(json, input.seccomp);
  write_enabled(json, "apparmor", false);
  write_enabled(json, "selinux", false);
  write_enabled(json, "intelRdt", false);
  json.key("mountExtensions").begin_object();
  write_enabled(json, "idmap", true);
  json.end_object();
  json.end_object();
}

void write_annotations(JsonWriter& json, const FeaturesInput& input) {
  std::map<std::string, std::string> all = input.annotations;
  all["org.agentvm.version"] = input.version;
  if (!input.commit.empty()) all["org.agentvm.commit"] = input.commit;
  if (!input.seccomp_version.empty()) {
    all["io.github.seccomp.libseccomp.version"] = input.seccomp_version;
  }
  json.key("annotations");
  write_json(json, all);
}

}  // namespace

std::string write_features(const FeaturesInput& input, int indent) {
  JsonWriter json(indent);
  json.begin_object();
  json.key("ociVersionMin").value(kOciVersionMin);
  json.key("ociVersionMax").value(kOciVersionMax);
  write_list(json, "hooks", hook_names());
  write_list(json, "mountOptions", known_mount_options());
  write_linux(json, input);
  write_annotations(json, input);
  json.end_object();
  return json.take();
}

}  // namespace agentvm::oci
