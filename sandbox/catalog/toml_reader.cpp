#include "sandbox/catalog/toml_reader.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <exception>
#include <variant>

#include "oci/base/try.h"

namespace agentvm::sandbox {

struct TomlNode {
  using List = std::vector<TomlNode>;
  using Table = std::map<std::string, TomlNode, std::less<>>;
  std::size_t line = 0;
  std::size_t column = 0;
  const char* kind = "nothing";
  std::variant<std::monostate, std::string, bool, List, Table> value;
};

namespace {

// The library descends one call per part of a dotted key and per bracket: a line's length bounds
// the stack. Depth of ours, below.
constexpr std::size_t kMaxLine = 4096;
constexpr std::size_t kMaxNesting = 256;
constexpr int kMaxDepth = 8;

std::unexpected<Error> fail_place(const std::string& file, std::size_t line, std::size_t column,
                                  std::string_view what) {
  return fail(ErrorKind::invalid_argument, fmt::format("{}:{}:{}: {}", file, line, column, what));
}

Result<void> check_lines(std::string_view text, const std::string& file) {
  std::size_t line = 1;
  for (std::size_t at = 0; at < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (end - at > kMaxLine) {
      return fail_place(file, line, 1, fmt::format("the line is longer than {} bytes", kMaxLine));
    }
    at = end + 1;
  }
  // Brackets may be spread over lines.
  const auto brackets = static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return c == '[' || c == '{'; }));
  if (brackets > kMaxNesting) {
    return fail_place(file, 1, 1, fmt::format("more than {} brackets", kMaxNesting));
  }
  return {};
}

Result<TomlNode> convert(const toml::node& from, const std::string& file, int depth) {
  TomlNode node;
  node.line = from.source().begin.line;
  node.column = from.source().begin.column;
  if (depth > kMaxDepth) return fail_place(file, node.line, node.column, "nested too deeply");
  if (const auto* text = from.as_string()) {
    node.kind = "a string";
    if (text->get().find('\0') != std::string::npos) {
      return fail_place(file, node.line, node.column, "a string must not contain U+0000");
    }
    node.value = text->get();
  } else if (const auto* flag = from.as_boolean()) {
    node.kind = "a boolean";
    node.value = flag->get();
  } else if (const auto* list = from.as_array()) {
    node.kind = "a list";
    TomlNode::List items;
    for (const toml::node& item : *list) items.push_back(TRY(convert(item, file, depth + 1)));
    node.value = std::move(items);
  } else if (const auto* table = from.as_table()) {
    node.kind = "a table";
    TomlNode::Table members;
    for (const auto& [key, member] : *table) {
      TomlNode converted = TRY(convert(member, file, depth + 1));
      // Where the key is: that is what an unknown one is told by.
      converted.line = key.source().begin.line;
      converted.column = key.source().begin.column;
      members.emplace(key.str(), std::move(converted));
    }
    node.value = std::move(members);
  } else {
    node.kind = from.is_integer() ? "an integer" : "a number, date or time";
  }
  return node;
}

}  // namespace

TomlDocument::TomlDocument(std::unique_ptr<const TomlNode> root,
                           std::unique_ptr<const std::string> file)
    : root_(std::move(root)), file_(std::move(file)) {}
TomlDocument::TomlDocument(TomlDocument&&) noexcept = default;
TomlDocument& TomlDocument::operator=(TomlDocument&&) noexcept = default;
TomlDocument::~TomlDocument() = default;

Result<TomlDocument> TomlDocument::parse(std::string_view text, std::string file) {
  if (text.size() > kMaxTomlBytes) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{}:1:1: more than {} bytes", file, kMaxTomlBytes));
  }
  TRY(check_lines(text, file));
  try {
    const toml::table table = toml::parse(text, std::string_view(file));
    auto root = std::make_unique<const TomlNode>(TRY(convert(table, file, 0)));
    return TomlDocument(std::move(root), std::make_unique<const std::string>(std::move(file)));
  } catch (const toml::parse_error& error) {
    return fail_place(file, error.source().begin.line, error.source().begin.column,
                      error.description());
  } catch (const std::exception& error) {
    return fail_place(file, 1, 1, error.what());
  }
}

TomlTable TomlDocument::root() const {
  return {root_.get(), file_.get()};
}

const TomlNode* TomlTable::find(std::string_view key, bool needed) {
  asked_.emplace_back(key);
  const auto& members = std::get<TomlNode::Table>(node_->value);
  const auto found = members.find(key);
  if (found != members.end()) return &found->second;
  if (needed && outcome_) fail_at(*node_, fmt::format("'{}' is missing", key));
  return nullptr;
}

void TomlTable::fail_at(const TomlNode& node, std::string_view what) {
  if (!outcome_) return;
  outcome_ = fail_place(*file_, std::max<std::size_t>(node.line, 1),
                        std::max<std::size_t>(node.column, 1), what);
}

void TomlTable::refuse(std::string_view key, std::string_view what) {
  const auto& members = std::get<TomlNode::Table>(node_->value);
  const auto found = members.find(key);
  fail_at(found == members.end() ? *node_ : found->second, fmt::format("{}: {}", key, what));
}

void TomlTable::keep(std::string_view key, const Result<void>& checked) {
  if (!checked) refuse(key, checked.error().text());
}

void TomlTable::read(std::string_view key, std::string& out, bool needed) {
  const TomlNode* node = find(key, needed);
  if (node == nullptr) return;
  if (const auto* text = std::get_if<std::string>(&node->value)) {
    out = *text;
  } else {
    fail_at(*node, fmt::format("{}: expected a string, not {}", key, node->kind));
  }
}

void TomlTable::optional(std::string_view key, bool& out) {
  const TomlNode* node = find(key, false);
  if (node == nullptr) return;
  if (const auto* flag = std::get_if<bool>(&node->value)) {
    out = *flag;
  } else {
    fail_at(*node, fmt::format("{}: expected true or false, not {}", key, node->kind));
  }
}

void TomlTable::read(std::string_view key, std::vector<std::string>& out, bool needed) {
  const TomlNode* node = find(key, needed);
  if (node == nullptr) return;
  const auto* list = std::get_if<TomlNode::List>(&node->value);
  if (list == nullptr) {
    fail_at(*node, fmt::format("{}: expected a list of strings, not {}", key, node->kind));
    return;
  }
  out.clear();
  for (const TomlNode& item : *list) {
    if (const auto* text = std::get_if<std::string>(&item.value)) {
      out.push_back(*text);
    } else {
      fail_at(item, fmt::format("{}: expected a string, not {}", key, item.kind));
    }
  }
}

void TomlTable::optional(std::string_view key, std::map<std::string, std::string>& out) {
  const TomlNode* node = find(key, false);
  if (node == nullptr) return;
  const auto* table = std::get_if<TomlNode::Table>(&node->value);
  if (table == nullptr) {
    fail_at(*node, fmt::format("{}: expected a table, not {}", key, node->kind));
    return;
  }
  for (const auto& [name, member] : *table) {
    if (const auto* text = std::get_if<std::string>(&member.value)) {
      out[name] = *text;
    } else {
      fail_at(member, fmt::format("{}.{}: expected a string, not {}", key, name, member.kind));
    }
  }
}

std::vector<TomlTable> TomlTable::tables(std::string_view key) {
  std::vector<TomlTable> out;
  const TomlNode* node = find(key, false);
  if (node == nullptr) return out;
  const auto* list = std::get_if<TomlNode::List>(&node->value);
  if (list == nullptr) {
    fail_at(*node, fmt::format("{}: expected tables, not {}", key, node->kind));
    return out;
  }
  for (const TomlNode& item : *list) {
    if (std::holds_alternative<TomlNode::Table>(item.value)) {
      out.push_back(TomlTable(&item, file_));
    } else {
      fail_at(item, fmt::format("{}: expected a table, not {}", key, item.kind));
    }
  }
  return out;
}

Result<void> TomlTable::done() {
  if (!outcome_) return outcome_;
  for (const auto& [key, node] : std::get<TomlNode::Table>(node_->value)) {
    if (std::ranges::find(asked_, key) == asked_.end()) {
      fail_at(node, fmt::format("unknown key '{}'", key));
      break;
    }
  }
  return outcome_;
}

}  // namespace agentvm::sandbox
