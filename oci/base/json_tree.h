// The tree behind JsonDocument and the words of its errors: shared by json_tree.cpp, which builds
// it from bytes, and json_reader.cpp, which reads it. Nobody else includes this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/json_reader.h"

namespace agentvm::detail {

struct JsonNode {
  JsonKind kind = JsonKind::null;
  bool boolean = false;
  bool negative = false;        // of an integer
  std::uint64_t magnitude = 0;  // of an integer: its absolute value
  double real = 0;
  std::string text = {};  // a string's characters, a real's source
  std::string key = {};   // the name in the parent, when that is an object
  const JsonNode* parent = nullptr;
  std::vector<JsonNode> items = {};
};

// `text` within the limits, every rule about form held: duplicates, depth, NUL, UTF-8.
[[nodiscard]] Result<std::unique_ptr<const JsonNode>> parse_json_tree(std::string_view text,
                                                                      JsonLimits limits);

inline constexpr std::size_t kLongestPointer = 256;

// What goes into a message: at most `most` bytes, whole UTF-8 characters, no control characters
// (a key must not be able to start a new line in a log or on a terminal).
[[nodiscard]] std::string shortened(std::string_view text, std::size_t most);
// Appends "/<token>" as RFC 6901 wants it escaped.
void append_token(std::string& pointer, std::string_view token);
// The error "<pointer>: <what>", "document: <what>" for the root.
[[nodiscard]] std::unexpected<Error> fail_at(std::string_view pointer, std::string_view what);

}  // namespace agentvm::detail
