#include "oci/base/json_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "oci/base/json_tree.h"
#include "oci/base/try.h"

namespace agentvm {

using detail::append_token;
using detail::fail_at;
using detail::JsonNode;
using detail::kLongestPointer;
using detail::shortened;

namespace {

constexpr std::size_t kLongestQuote = 64;

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
  return JsonDocument(TRY(detail::parse_json_tree(text, limits)));
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
