// Strict reading of the TOML files that describe agents, services and presets: every key is asked
// for with its type, and what nobody asked for is an error. Errors are invalid_argument and name
// the place: "claude.toml:3:1: image: expected a string, not an integer".
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::sandbox {

inline constexpr std::size_t kMaxTomlBytes = 65'536;

struct TomlNode;

// The first error sticks, later calls do nothing; done() tells it. Valid while the document lives.
class TomlTable {
 public:
  void optional(std::string_view key, std::string& out) { read(key, out, false); }
  void required(std::string_view key, std::string& out) { read(key, out, true); }
  void optional(std::string_view key, bool& out);
  void optional(std::string_view key, std::vector<std::string>& out) { read(key, out, false); }
  void required(std::string_view key, std::vector<std::string>& out) { read(key, out, true); }
  // A table of strings.
  void optional(std::string_view key, std::map<std::string, std::string>& out);
  // An array of tables.
  [[nodiscard]] std::vector<TomlTable> tables(std::string_view key);
  // Fails at the key's value, or at the table when it has none.
  void refuse(std::string_view key, std::string_view what);
  void keep(std::string_view key, const Result<void>& checked);
  [[nodiscard]] Result<void> done();

 private:
  friend class TomlDocument;
  TomlTable(const TomlNode* node, const std::string* file) : node_(node), file_(file) {}
  void read(std::string_view key, std::string& out, bool needed);
  void read(std::string_view key, std::vector<std::string>& out, bool needed);
  const TomlNode* find(std::string_view key, bool needed);
  void fail_at(const TomlNode& node, std::string_view what);

  const TomlNode* node_;
  const std::string* file_;
  std::vector<std::string> asked_;
  Result<void> outcome_;
};

class TomlDocument {
 public:
  // `file` stands for the text in errors. At most kMaxTomlBytes.
  [[nodiscard]] static Result<TomlDocument> parse(std::string_view text, std::string file);
  TomlDocument(TomlDocument&&) noexcept;
  TomlDocument& operator=(TomlDocument&&) noexcept;
  ~TomlDocument();
  [[nodiscard]] TomlTable root() const;

 private:
  TomlDocument(std::unique_ptr<const TomlNode> root, std::unique_ptr<const std::string> file);
  std::unique_ptr<const TomlNode> root_;
  std::unique_ptr<const std::string> file_;
};

}  // namespace agentvm::sandbox
