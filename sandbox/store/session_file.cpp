#include "sandbox/store/session_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace agentvm::sandbox {

namespace {

// More hosts than an agent would read are not told; the rest it finds out.
constexpr std::size_t kMostHosts = 60;

std::string words(const std::vector<std::string>& command) {
  std::string text;
  for (const std::string& word : command) text += " " + shell_quoted(word);
  return text;
}

std::string environment_lines(const Agent& agent, const std::vector<Credential>& credentials) {
  std::string text;
  for (const auto& [name, value] : agent.environment) {
    // What `-e` gave comes first.
    text += fmt::format("  [ -n \"${{{0}+x}}\" ] || export {0}={1}\n", name, shell_quoted(value));
  }
  for (const Credential& credential : credentials) {
    for (const std::string& name : credential.environment) {
      text += fmt::format("  export {}={}\n", name, kPlaceholder);
    }
  }
  return text;
}

std::string file_lines(const Agent& agent) {
  std::string text;
  for (const auto& [path, content] : agent.files) {
    text += fmt::format("  sandbox_file {} {}\n", shell_quoted(path), shell_quoted(content));
  }
  for (const std::string& path : agent.notices) {
    text += fmt::format("  sandbox_notice {}\n", shell_quoted(path));
  }
  return text;
}

std::string function(std::string_view name, std::string_view lines) {
  return fmt::format("{}() {{\n  :\n{}}}\n", name, lines);
}

void list_rules(std::string& text, const std::vector<RuleLayer>& layers, bool allow) {
  std::size_t listed = 0;
  for (const RuleLayer& layer : layers) {
    for (const RuleText& rule : layer.rules) {
      if (rule.allow != allow) continue;
      if (++listed > kMostHosts) {
        text += "- and more\n";
        return;
      }
      text += "- " + to_text(rule).substr(allow ? 6 : 5) + "\n";
    }
  }
  if (listed == 0) text += "- nothing\n";
}

}  // namespace

std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string session_script(const Record& record, const Agent& agent,
                           const std::vector<Credential>& credentials, const SessionFacts& facts) {
  const std::string directory = record.workspaces.empty() ? "" : record.workspaces.front().path;
  std::string text = "# Read by enter.sh; made new before every start.\n";
  text += fmt::format("sandbox_uid={}\nsandbox_gid={}\nsandbox_directory={}\n", facts.uid,
                      facts.gid, shell_quoted(directory));
  text += fmt::format("sandbox_ca_hash={}\n", shell_quoted(facts.ca_hash));
  text += function("sandbox_environment", environment_lines(agent, credentials));
  text += function("sandbox_files", file_lines(agent));
  text += function("sandbox_command", fmt::format("  sandbox_become{}\n", words(record.command)));
  return text;
}

std::string notice_text(const Record& record, bool allows, const std::vector<RuleLayer>& layers,
                        const std::vector<Credential>& credentials) {
  std::string text = fmt::format(
      "# You work in a sandbox\n\n"
      "This is a virtual machine of its own, named '{}'. You may do anything in it: install\n"
      "packages with sudo, run Docker, change every file. Only these directories are shared with\n"
      "the user's computer:\n\n",
      record.name);
  for (const Workspace& workspace : record.workspaces) {
    text += fmt::format("- {}{}\n", workspace.path, workspace.read_only ? " (read-only)" : "");
  }
  if (record.workspaces.empty()) text += "- none\n";
  text += "\n## Network\n\nA policy outside of this machine decides what is reachable. ";
  text += allows ? "Everything on the Internet is, but not:\n\n"
                 : "Nothing is, but these hosts (`*.x`: one label, `**.x`: any):\n\n";
  list_rules(text, layers, !allows);
  if (!allows) {
    text += "\nDenied in any case:\n\n";
    list_rules(text, layers, false);
  }
  text += fmt::format(
      "\nA denial looks like this: the name does not resolve (\"Could not resolve host\"), the\n"
      "connection is reset, or the answer is HTTP 403 with a JSON text that names the rule. It is\n"
      "no fault of the network: trying again or another way does not help. Tell the user which\n"
      "host you need and why; the user can allow it with\n\n"
      "    agentvm sandbox policy allow --sandbox {} HOST\n",
      record.name);
  if (credentials.empty()) return text;
  text +=
      "\n## Keys\n\nThese credentials work without being here: the variable holds the word\n"
      "`proxy-managed`, and the real value is put into the request outside. Use it as it is; do\n"
      "not look for another.\n\n";
  for (const Credential& credential : credentials) {
    text += fmt::format("- {} ({}): {}\n", credential.name, fmt::join(credential.environment, ", "),
                        fmt::join(credential.hosts, ", "));
  }
  return text;
}

}  // namespace agentvm::sandbox
