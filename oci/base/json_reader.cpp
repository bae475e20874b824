#include "oci/base/json_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "oci/base/try.h"

namespace agentvm {

namespace detail {

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

}  // namespace detail

namespace {

using detail::JsonNode;

constexpr std::size_t kLongestPointer = 256;
constexpr std::size_t kLongestQuote = 64;

// What goes into a message: at most `most` bytes, whole UTF-8 characters, no control characters (a
// key must not be able to start a new line in a log or on a terminal).
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

std::string_view kind_name(JsonKind kind) {
  switch (kind) {
    case JsonKind::null:
      return "null";
    case JsonKind::boolean:
      return "a boolean";
    case JsonKind::integer:
      return "an integer";
    case JsonKind::real:
      return "a number";
    case JsonKind::string:
      return "a string";
    case JsonKind::array:
      return "an array";
    case JsonKind::object:
      return "an object";
  }
  return "a value";
}

std::unexpected<Error> fail_kind(const JsonValue& at, std::string_view expected) {
  return at.fail(fmt::format("expected {}, found {}", expected, at.described()));
}

}  // namespace

// ---- JsonDocument ----

JsonDocument::JsonDocument(std::unique_ptr<const detail::JsonNode> root) : root_(std::move(root)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

Result<JsonDocument> JsonDocument::parse(std::string_view text, JsonLimits limits) {
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
  return JsonDocument(std::move(root));
}

// ---- JsonValue ----

JsonKind JsonValue::kind() const {
  return node_->kind;
}

std::string JsonValue::pointer() const {
  std::vector<const JsonNode*> path;
  for (const JsonNode* at = node_; at->parent != nullptr; at = at->parent) path.push_back(at);
  std::string pointer;
  for (auto at = path.rbegin(); at != path.rend() && pointer.size() <= kLongestPointer; ++at) {
    const JsonNode& parent = *(*at)->parent;
    const bool named = parent.kind == JsonKind::object;
    append_token(pointer, named ? (*at)->key : std::to_string(*at - parent.items.data()));
  }
  return shortened(pointer, kLongestPointer);
}

std::unexpected<Error> JsonValue::fail(std::string_view what) const {
  return fail_at(pointer(), what);
}

std::string JsonValue::described() const {
  switch (node_->kind) {
    case JsonKind::boolean:
      return node_->boolean ? "true" : "false";
    case JsonKind::integer:
      return fmt::format("{}{}", node_->negative ? "-" : "", node_->magnitude);
    case JsonKind::real:
      return shortened(node_->text, kLongestQuote);
    case JsonKind::string:
      return fmt::format("\"{}\"", shortened(node_->text, kLongestQuote));
    case JsonKind::null:
    case JsonKind::array:
    case JsonKind::object:
      break;
  }
  return std::string(kind_name(node_->kind));
}

Result<void> JsonValue::expect(JsonKind kind) const {
  if (node_->kind == kind) return {};
  return fail_kind(*this, kind_name(kind));
}

Result<bool> JsonValue::as_bool() const {
  TRY(expect(JsonKind::boolean));
  return node_->boolean;
}

Result<std::string_view> JsonValue::as_string() const {
  TRY(expect(JsonKind::string));
  return std::string_view(node_->text);
}

Result<std::int64_t> JsonValue::as_signed(int bits) const {
  const std::uint64_t top = std::uint64_t{1} << (bits - 1);
  const bool fits = node_->kind == JsonKind::integer &&
                    (node_->negative ? node_->magnitude <= top : node_->magnitude < top);
  if (!fits) return fail_kind(*this, fmt::format("a signed {}-bit integer", bits));
  return static_cast<std::int64_t>(node_->negative ? std::uint64_t{0} - node_->magnitude
                                                   : node_->magnitude);
}

Result<std::uint64_t> JsonValue::as_unsigned(int bits) const {
  const std::uint64_t most = ~std::uint64_t{0} >> (64 - bits);
  if (node_->kind != JsonKind::integer || node_->negative || node_->magnitude > most) {
    return fail_kind(*this, fmt::format("an unsigned {}-bit integer", bits));
  }
  return node_->magnitude;
}

Result<double> JsonValue::as_real() const {
  if (node_->kind == JsonKind::integer) {
    const auto size = static_cast<double>(node_->magnitude);
    return node_->negative ? -size : size;
  }
  TRY(expect(JsonKind::real));
  return node_->real;
}

std::size_t JsonValue::size() const {
  return node_->items.size();
}
JsonValue JsonValue::item(std::size_t index) const {
  return JsonValue(&node_->items.at(index));
}
std::string_view JsonValue::key() const {
  return node_->key;
}

std::optional<JsonValue> JsonValue::find(std::string_view key) const {
  if (node_->kind != JsonKind::object) return std::nullopt;
  const auto member = std::ranges::find(node_->items, key, &JsonNode::key);
  if (member == node_->items.end() || member->kind == JsonKind::null) return std::nullopt;
  return JsonValue(&*member);
}

std::unexpected<Error> detail::fail_word(JsonValue at, std::span<const std::string_view> known) {
  return fail_kind(at, fmt::format("one of {}", fmt::join(known, ", ")));
}

// ---- JsonObject ----

JsonObject::JsonObject(JsonValue value, JsonUnknown* unknown)
    : value_(value), unknown_(unknown), outcome_(value.expect(JsonKind::object)) {
  asked_.resize(value_.size());
}

std::optional<JsonValue> JsonObject::value(std::string_view key) {
  if (!outcome_) return std::nullopt;
  for (std::size_t i = 0; i < value_.size(); ++i) {
    const JsonValue member = value_.item(i);
    if (member.key() != key) continue;
    asked_[i] = true;
    if (member.is_null()) return std::nullopt;
    return member;
  }
  return std::nullopt;
}

std::optional<JsonValue> JsonObject::need(std::string_view key) {
  auto member = value(key);
  ensure(member.has_value(), key, "required");
  return member;
}

void JsonObject::ensure(bool holds, std::string_view key, std::string_view text) {
  if (holds || !outcome_) return;
  std::string pointer = value_.pointer();
  if (!key.empty()) append_token(pointer, key);
  outcome_ = fail_at(pointer, text);
}

void JsonObject::keep(Result<void> step) {
  if (outcome_ && !step) outcome_ = std::move(step);
}

void JsonObject::judge(JsonValue at, std::string_view wrong) {
  if (wrong.empty()) return;
  const bool container = at.kind() == JsonKind::array || at.kind() == JsonKind::object;
  keep(
      at.fail(container ? std::string(wrong) : fmt::format("{}, found {}", wrong, at.described())));
}

Result<void> JsonObject::done() {
  if (!outcome_) return outcome_;
  if (unknown_ == nullptr) return {};
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    if (!asked_[i] && !value_.item(i).is_null()) unknown_->add(value_.item(i));
  }
  return {};
}

}  // namespace agentvm
