#include "oci/base/json_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "oci/base/try.h"

namespace agentvm::detail {

std::string shortened(std::string_view text, std::size_t most) {
  std::string out(text.substr(0, most));
  const bool cut = text.size() > most;
  if (cut) {
    std::size_t keep = out.size();
    while (keep > 0 && (static_cast<unsigned char>(text[keep]) & 0xc0) == 0x80) --keep;
    out.resize(keep);
  }
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return cut ? out + "…" : out;
}

void append_token(std::string& pointer, std::string_view token) {
  pointer += '/';
  for (const char c : token.substr(0, kLongestPointer)) {
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
}

std::unexpected<Error> fail_at(std::string_view pointer, std::string_view what) {
  return agentvm::fail(ErrorKind::invalid_argument,
                       fmt::format("{}: {}", pointer.empty() ? "document" : pointer, what));
}

namespace {

// nlohmann's "[json.exception…] parse error at line 1, column 2: syntax error …; last read: '…';
// expected …" without its own name and without the bytes that it quotes, which may be anything.
std::string syntax_error(std::string_view what) {
  if (const auto tag = what.find("] "); tag != what.npos) what.remove_prefix(tag + 2);
  constexpr std::string_view kLead = "parse error at ";
  if (what.starts_with(kLead)) what.remove_prefix(kLead.size());
  std::string text(what);
  if (const auto quote = text.find("; last read: '"); quote != text.npos) {
    const auto expected = text.rfind("; expected ");
    const bool after = expected != text.npos && expected > quote;
    text.erase(quote, after ? expected - quote : text.npos);
  }
  return shortened(text, kLongestPointer);
}

// Receives nlohmann's events and builds the tree, holding the limits before anything grows.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(JsonLimits limits) : limits_(limits) {}

  bool null() override { return add({}); }
  bool boolean(bool value) override { return add({.kind = JsonKind::boolean, .boolean = value}); }
  bool number_integer(number_integer_t value) override {
    const bool negative = value < 0;
    const auto bits = static_cast<std::uint64_t>(value);
    return add({.kind = JsonKind::integer,
                .negative = negative,
                .magnitude = negative ? std::uint64_t{0} - bits : bits});
  }
  bool number_unsigned(number_unsigned_t value) override {
    return add({.kind = JsonKind::integer, .magnitude = value});
  }
  bool number_float(number_float_t value, const string_t& source) override {
    return add({.kind = JsonKind::real, .real = value, .text = source});
  }
  bool string(string_t& value) override {
    if (value.find('\0') != value.npos) return refuse(place(), "holds a NUL character");
    return add({.kind = JsonKind::string, .text = std::move(value)});
  }
  bool binary(binary_t&) override { return refuse(place(), "is binary"); }

  bool start_object(std::size_t) override { return open(JsonKind::object); }
  bool start_array(std::size_t) override { return open(JsonKind::array); }
  bool end_array() override { return close(); }
  bool end_object() override {
    std::vector<std::string_view> keys;
    keys.reserve(open_.back().items.size());
    for (const JsonNode& item : open_.back().items) keys.emplace_back(item.key);
    std::ranges::sort(keys);
    if (const auto twice = std::ranges::adjacent_find(keys); twice != keys.end()) {
      key_ = *twice;
      return refuse(place(), "given twice");
    }
    return close();
  }
  bool key(string_t& name) override {
    key_ = std::move(name);
    if (key_.find('\0') != key_.npos) return refuse(place(), "the name holds a NUL character");
    return true;
  }
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& error) override {
    return refuse({}, syntax_error(error.what()));
  }

  Result<JsonNode> finish() && {
    if (error_) return std::unexpected(std::move(*error_));
    return std::move(root_);
  }
  void set_error(std::string_view what) { refuse({}, what); }

 private:
  // The pointer of the value that comes next.
  std::string place() const {
    std::string pointer;
    for (std::size_t i = 0; i < open_.size(); ++i) {
      const bool last = i + 1 == open_.size();
      if (open_[i].kind == JsonKind::array) {
        append_token(pointer, std::to_string(open_[i].items.size()));
      } else {
        append_token(pointer, last ? key_ : open_[i + 1].key);
      }
    }
    return shortened(pointer, kLongestPointer);
  }

  bool refuse(std::string_view pointer, std::string_view what) {
    if (!error_) error_ = fail_at(pointer, what).error();
    return false;
  }

  bool add(JsonNode node) {
    if (++values_ > limits_.values) {
      return refuse({}, fmt::format("holds more than {} values", limits_.values));
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return true;
    }
    if (open_.back().kind == JsonKind::object) node.key = std::move(key_);
    open_.back().items.push_back(std::move(node));
    return true;
  }

  bool open(JsonKind kind) {
    if (open_.size() >= limits_.depth) {
      return refuse({}, fmt::format("nested deeper than {} levels", limits_.depth));
    }
    const bool named = !open_.empty() && open_.back().kind == JsonKind::object;
    open_.push_back({.kind = kind, .key = named ? std::move(key_) : std::string()});
    return true;
  }

  bool close() {
    JsonNode done = std::move(open_.back());
    open_.pop_back();
    key_ = std::move(done.key);
    done.key.clear();
    return add(std::move(done));
  }

  JsonLimits limits_;
  std::vector<JsonNode> open_;
  std::string key_;
  JsonNode root_;
  std::size_t values_ = 0;
  std::optional<Error> error_;
};

// Only once the tree stands still: while it is built, its vectors move.
void set_parents(JsonNode& node) {
  for (JsonNode& item : node.items) {
    item.parent = &node;
    set_parents(item);
  }
}

}  // namespace

Result<std::unique_ptr<const JsonNode>> parse_json_tree(std::string_view text, JsonLimits limits) {
  if (text.size() > limits.bytes) {
    return fail_at({}, fmt::format("longer than {} bytes", limits.bytes));
  }
  Builder builder(limits);
  try {
    nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const std::exception& error) {
    builder.set_error(error.what());
  }
  auto root = std::make_unique<JsonNode>(TRY(std::move(builder).finish()));
  set_parents(*root);
  return root;
}

}  // namespace agentvm::detail
