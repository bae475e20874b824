#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/try.h"
#include "runtime/install/engine_files.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kRuntimes = "runtimes";
constexpr int kIndent = 4;

Result<void> copy(const JsonValue& value, JsonWriter& json);

Result<void> copy_items(const JsonValue& value, JsonWriter& json, std::string_view but = {}) {
  for (std::size_t i = 0; i < value.size(); ++i) {
    const JsonValue item = value.item(i);
    if (value.kind() == JsonKind::object) {
      if (item.key() == but) continue;
      json.key(item.key());
    }
    TRY(copy(item, json));
  }
  return {};
}

Result<void> copy(const JsonValue& value, JsonWriter& json) {
  switch (value.kind()) {
    case JsonKind::null:
      json.null();
      return {};
    case JsonKind::boolean:
      json.value(TRY(value.as_bool()));
      return {};
    case JsonKind::integer:
      if (const auto number = value.as_unsigned()) {
        json.value(*number);
      } else {
        json.value(TRY(value.as_signed()));
      }
      return {};
    case JsonKind::real:
      json.value(TRY(value.as_real()));
      return {};
    case JsonKind::string:
      json.value(TRY(value.as_string()));
      return {};
    case JsonKind::array:
      json.begin_array();
      TRY(copy_items(value, json));
      json.end_array();
      return {};
    case JsonKind::object:
      json.begin_object();
      TRY(copy_items(value, json));
      json.end_object();
      return {};
  }
  return {};
}

Result<JsonDocument> parse(std::string_view file) {
  const bool blank = file.find_first_not_of(" \t\r\n") == std::string_view::npos;
  auto document = TRY(JsonDocument::parse(blank ? "{}" : file));
  TRY(document.root().expect(JsonKind::object));
  if (const auto runtimes = document.root().find(kRuntimes)) {
    TRY(runtimes->expect(JsonKind::object));
  }
  return document;
}

void write_entry(JsonWriter& json, const RuntimeEntry& entry) {
  json.key(entry.name).begin_object().key("path").value(entry.program);
  if (!entry.config_path.empty()) {
    json.key("runtimeArgs").begin_array();
    json.value("--config").value(entry.config_path).end_array();
  }
  json.end_object();
}

}  // namespace

Result<std::string> add_to_docker(std::string_view file, const RuntimeEntry& entry) {
  const auto document = TRY(parse(file));
  JsonWriter json(kIndent);
  json.begin_object();
  TRY(copy_items(document.root(), json, kRuntimes));
  json.key(kRuntimes).begin_object();
  if (const auto runtimes = document.root().find(kRuntimes)) {
    TRY(copy_items(*runtimes, json, entry.name));
  }
  write_entry(json, entry);
  return json.end_object().end_object().take() + "\n";
}

Result<std::string> remove_from_docker(std::string_view file, const std::string& name) {
  const auto document = TRY(parse(file));
  const auto runtimes = document.root().find(kRuntimes);
  if (!runtimes || !runtimes->find(name)) return std::string(file);
  if (const auto standard = document.root().find("default-runtime");
      standard && standard->kind() == JsonKind::string && *standard->as_string() == name) {
    return standard->fail("names this runtime: give Docker another default first");
  }
  JsonWriter json(kIndent);
  json.begin_object();
  TRY(copy_items(document.root(), json, kRuntimes));
  if (runtimes->size() > 1) {
    json.key(kRuntimes).begin_object();
    TRY(copy_items(*runtimes, json, name));
    json.end_object();
  }
  return json.end_object().take() + "\n";
}

}  // namespace agentvm::runtime
