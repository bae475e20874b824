#include "sandbox/cli/plugin.h"

#include <fmt/format.h>

#include "agentvm_version.h"
#include "oci/base/json_writer.h"

namespace agentvm::sandbox {

namespace {

constexpr std::string_view kVerb = "sandbox";

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  for (const std::string_view known : words) {
    if (word == known) return true;
  }
  return false;
}

}  // namespace

std::string plugin_metadata() {
  JsonWriter json;
  json.begin_object().key("SchemaVersion").value("0.1.0").key("Vendor").value("agentvm");
  json.key("Version").value(AGENTVM_VERSION);
  json.key("ShortDescription").value("Coding agents in microVMs, with a network policy");
  return json.end_object().take();
}

Result<std::vector<std::string>> plugin_words(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == kVerb) {
      out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      return out;
    }
    if (is_one_of(word, {"-H", "--host"}) && i + 1 < words.size()) {
      out.insert(out.end(), {"--host", words[++i]});
    } else if (word.starts_with("--host=")) {
      out.push_back(word);
    } else if (is_one_of(word, {"-l", "--log-level", "--config"})) {
      ++i;  // docker's own log and directory
    } else if (!is_one_of(word, {"-D", "--debug"}) && !word.starts_with("--log-level=") &&
               !word.starts_with("--config=")) {
      return fail(
          ErrorKind::invalid_argument,
          fmt::format("docker's option {} has no meaning for sandboxes, which need a Docker "
                      "on this machine: --host unix://… names it",
                      word));
    }
  }
  return out;
}

}  // namespace agentvm::sandbox
