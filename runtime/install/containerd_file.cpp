#include <fmt/format.h>

#include <toml++/toml.h>

#include <optional>

#include "oci/base/json_writer.h"
#include "oci/base/try.h"
#include "runtime/install/engine_files.h"

namespace agentvm::runtime {

namespace {

constexpr std::string_view kShim = "io.containerd.agentvm.v2";

std::string first_line(const std::string& name) {
  return fmt::format("# Runtime {}: written by `agentvm install containerd`\n", name);
}
std::string last_line(const std::string& name) {
  return fmt::format("# Runtime {}: end\n", name);
}

// TOML's basic strings have the escapes of JSON's.
std::string quoted(const std::string& text) {
  JsonWriter json;
  json.value(text);
  return json.take();
}

Result<toml::table> parse(std::string_view file) {
  try {
    return toml::parse(file);
  } catch (const toml::parse_error& error) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("line {}: {}", error.source().begin.line, error.description()));
  }
}

// The CRI plugin's name in the file's version; a file that does not say is of version 1.
Result<std::string> plugin_of(const toml::table& file, bool empty) {
  switch (file["version"].value_or(empty ? 2 : 1)) {
    case 1:
      return "cri";
    case 2:
      return "io.containerd.grpc.v1.cri";
    case 3:
      return "io.containerd.cri.v1.runtime";
    default:
      return fail(ErrorKind::invalid_argument, "its version is none of 1, 2 and 3");
  }
}

// Where our lines are: from the first to behind the last.
struct Block {
  std::size_t begin;
  std::size_t end;
};

Result<std::optional<Block>> find_block(std::string_view file, const std::string& name) {
  const std::size_t begin = file.find(first_line(name));
  if (begin == std::string_view::npos) return std::nullopt;
  const std::string last = last_line(name);
  const std::size_t end = file.find(last, begin);
  if (end == std::string_view::npos) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("the line '{}' is missing", last.substr(0, last.size() - 1)));
  }
  return Block{begin, end + last.size()};
}

}  // namespace

Result<std::string> remove_from_containerd(std::string_view file, const std::string& name) {
  (void)TRY(parse(file));
  std::string text(file);
  if (const auto block = TRY(find_block(file, name))) {
    text.erase(block->begin, block->end - block->begin);
  }
  return text;
}

Result<std::string> add_to_containerd(std::string_view file, const RuntimeEntry& entry) {
  std::string text = TRY(remove_from_containerd(file, entry.name));
  const bool empty = text.find_first_not_of(" \t\r\n") == std::string::npos;
  const toml::table before = TRY(parse(text));
  const std::string plugin = TRY(plugin_of(before, empty));
  if (before["plugins"][plugin]["containerd"]["runtimes"][entry.name]) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("it has a runtime '{}' already, which was not written by this command",
                            entry.name));
  }
  if (empty) text = "version = 2\n";
  if (!text.ends_with('\n')) text += '\n';
  const std::string table =
      fmt::format("plugins.{}.containerd.runtimes.{}", quoted(plugin), quoted(entry.name));
  text += first_line(entry.name);
  text += fmt::format("[{}]\nruntime_type = \"{}\"\npod_annotations = [\"io.agentvm.*\"]\n", table,
                      kShim);
  if (!entry.config_path.empty()) {
    text += fmt::format("[{}.options]\nConfigPath = {}\n", table, quoted(entry.config_path));
  }
  text += last_line(entry.name);
  // Tables written inline cannot be added to by lines at the end.
  (void)TRY(parse(text), "with the runtime added");
  return text;
}

std::string podman_file(const RuntimeEntry& entry) {
  return fmt::format("# Written by `agentvm install podman`.\n[engine.runtimes]\n{} = [{}]\n",
                     quoted(entry.name), quoted(entry.program));
}

}  // namespace agentvm::runtime
