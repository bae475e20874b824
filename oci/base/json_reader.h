// The one door for JSON that others wrote (RFC 8259): a document is parsed whole, within limits,
// and then read through cursors that check every type and range. Duplicate members, integers out of
// range, fractions where an integer belongs and NUL characters are errors, never silently bent.
// Every error names the place: "/process/user/uid: expected an unsigned 32-bit integer, found -1";
// a syntax error names line and column. All errors are ErrorKind::invalid_argument.
//
// Whole structs: give them a json_fields() list (json_fields.h) and call parse_json<T>(text).
// Single values:
//   const JsonDocument reply = TRY(JsonDocument::parse(line));
//   JsonObject object(reply.root());
//   object.required("id", id);
//   object.optional("desc", text);
//   TRY(object.done());
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/json_fields.h"

namespace agentvm {

struct JsonLimits {
  std::size_t bytes = std::size_t{16} << 20;
  std::size_t depth = 64;        // nested arrays and objects
  std::size_t values = 262'144;  // values of the whole document, containers included
};

enum class JsonKind : std::uint8_t { null, boolean, integer, real, string, array, object };

namespace detail {
struct JsonNode;
}

// A place in a JsonDocument: two words, copied freely, valid while the document lives.
class JsonValue {
 public:
  [[nodiscard]] JsonKind kind() const;
  [[nodiscard]] bool is_null() const { return kind() == JsonKind::null; }

  // RFC 6901; "" is the whole document. Cut with "…" past 256 bytes, for it goes into messages.
  [[nodiscard]] std::string pointer() const;
  // The error "<pointer>: <what>" ("document: <what>" for the root).
  [[nodiscard]] std::unexpected<Error> fail(std::string_view what) const;
  // The value as an error names it: `-1`, `"text"`, `an array`.
  [[nodiscard]] std::string described() const;

  [[nodiscard]] Result<bool> as_bool() const;
  [[nodiscard]] Result<std::string_view> as_string() const;  // into the document
  [[nodiscard]] Result<std::int64_t> as_signed(int bits = 64) const;
  [[nodiscard]] Result<std::uint64_t> as_unsigned(int bits = 64) const;
  [[nodiscard]] Result<double> as_real() const;  // integers too
  [[nodiscard]] Result<void> expect(JsonKind kind) const;

  // Of an array or an object; other kinds have no items.
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] JsonValue item(std::size_t index) const;
  // The name of the member that this value is; "" for array items and the root.
  [[nodiscard]] std::string_view key() const;
  // The member of an object; nothing when it is absent, null, or this is no object.
  [[nodiscard]] std::optional<JsonValue> find(std::string_view key) const;

 private:
  friend class JsonDocument;
  explicit JsonValue(const detail::JsonNode* node) : node_(node) {}
  const detail::JsonNode* node_;
};

// A parsed text. Owns everything; the text itself may go.
class JsonDocument {
 public:
  [[nodiscard]] static Result<JsonDocument> parse(std::string_view text, JsonLimits limits = {});
  JsonDocument(JsonDocument&&) noexcept;
  JsonDocument& operator=(JsonDocument&&) noexcept;
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;
  ~JsonDocument();

  [[nodiscard]] JsonValue root() const { return JsonValue(root_.get()); }

 private:
  explicit JsonDocument(std::unique_ptr<const detail::JsonNode> root);
  std::unique_ptr<const detail::JsonNode> root_;
};

// Where members that nobody asked for are written down: JSON pointers, at most kMost of them.
class JsonUnknown {
 public:
  static constexpr std::size_t kMost = 64;
  void add(const JsonValue& value) {
    if (pointers_.size() < kMost) pointers_.push_back(value.pointer());
  }
  [[nodiscard]] const std::vector<std::string>& pointers() const { return pointers_; }
  [[nodiscard]] std::vector<std::string> take() { return std::move(pointers_); }

 private:
  std::vector<std::string> pointers_;
};

// Reads the members of one object. The first error sticks and later calls do nothing; done() tells
// it, and must be called. Members never asked for are reported to `unknown` by done().
class JsonObject {
 public:
  explicit JsonObject(JsonValue value, JsonUnknown* unknown = nullptr);

  template <class T, class Check = AnyValue>
  void required(std::string_view key, T& out, Check check = {});
  template <class T, class Check = AnyValue>
  void optional(std::string_view key, T& out, Check check = {});
  template <class T, class Check = AnyValue>
  void defaulted(std::string_view key, T& out, Check check = {}) {
    optional(key, out, check);
  }
  template <class Body>
  void object(std::string_view key, bool given, Body&& body);
  // Fails at member `key` (or at this object when `key` is empty or absent).
  void ensure(bool holds, std::string_view key, std::string_view text);
  template <class T, class Known>
  void known_only(std::string_view key, std::vector<T>& list, Known known);
  // The member as it stands, for what has no struct; nothing when absent or null.
  [[nodiscard]] std::optional<JsonValue> value(std::string_view key);

  [[nodiscard]] Result<void> done();

 private:
  std::optional<JsonValue> need(std::string_view key);
  void keep(Result<void> step);
  void judge(JsonValue at, std::string_view wrong);
  template <class T, class Check>
  void store(JsonValue from, T& out, const Check& check);

  JsonValue value_;
  JsonUnknown* unknown_;
  Result<void> outcome_;
  std::vector<bool> asked_;  // per member
};

// The value at `from`, of any type that has a JSON form: bool, integers, double, string, optional,
// vector, map by string, an enum with json_words(), a struct with json_fields().
template <class T>
[[nodiscard]] Result<void> read_json(JsonValue from, T& out, JsonUnknown* unknown = nullptr);

// A whole text as a T.
template <class T>
[[nodiscard]] Result<T> parse_json(std::string_view text, JsonUnknown* unknown = nullptr,
                                   JsonLimits limits = {}) {
  auto document = JsonDocument::parse(text, limits);
  if (!document) return std::unexpected(std::move(document).error());
  Result<T> out{T{}};
  auto read = read_json(document->root(), *out, unknown);
  if (!read) return std::unexpected(std::move(read).error());
  return out;
}

// ---- templates ----

namespace detail {

// "expected one of a, b, c, found …"
[[nodiscard]] std::unexpected<Error> fail_word(JsonValue at,
                                               std::span<const std::string_view> known);

template <class E>
Result<void> read_word(JsonValue from, E& out) {
  const auto text = from.as_string();
  if (!text) return std::unexpected(text.error());
  std::vector<std::string_view> words;
  for (const auto& [word, value] : json_words(E{})) {
    if (word == *text) {
      out = value;
      return {};
    }
    words.push_back(word);
  }
  return fail_word(from, words);
}

template <class From, class T>
Result<void> assign(Result<From> from, T& out) {
  if (!from) return std::unexpected(std::move(from).error());
  out = static_cast<T>(*from);
  return {};
}

template <class T>
Result<void> read_list(JsonValue from, std::vector<T>& out, JsonUnknown* unknown) {
  if (auto list = from.expect(JsonKind::array); !list) return list;
  out.clear();
  for (std::size_t i = 0; i < from.size(); ++i) {
    T item{};
    if (auto read = read_json(from.item(i), item, unknown); !read) return read;
    out.push_back(std::move(item));
  }
  return {};
}

template <class T>
Result<void> read_map(JsonValue from, std::map<std::string, T>& out, JsonUnknown* unknown) {
  if (auto object = from.expect(JsonKind::object); !object) return object;
  out.clear();
  for (std::size_t i = 0; i < from.size(); ++i) {
    const JsonValue member = from.item(i);
    if (auto read = read_json(member, out[std::string(member.key())], unknown); !read) return read;
  }
  return {};
}

}  // namespace detail

template <class T>
Result<void> read_json(JsonValue from, T& out, JsonUnknown* unknown) {
  if constexpr (std::same_as<T, bool>) {
    return detail::assign(from.as_bool(), out);
  } else if constexpr (std::is_enum_v<T>) {
    return detail::read_word(from, out);
  } else if constexpr (std::signed_integral<T>) {
    return detail::assign(from.as_signed(std::numeric_limits<T>::digits + 1), out);
  } else if constexpr (std::unsigned_integral<T>) {
    return detail::assign(from.as_unsigned(std::numeric_limits<T>::digits), out);
  } else if constexpr (std::same_as<T, double>) {
    return detail::assign(from.as_real(), out);
  } else if constexpr (std::same_as<T, std::string>) {
    return detail::assign(from.as_string(), out);
  } else if constexpr (detail::kIsOptional<T>) {
    return read_json(from, out.emplace(), unknown);
  } else if constexpr (detail::kIsVector<T>) {
    return detail::read_list(from, out, unknown);
  } else if constexpr (detail::kIsStringMap<T>) {
    return detail::read_map(from, out, unknown);
  } else {
    JsonObject object(from, unknown);
    json_fields(object, out);
    return object.done();
  }
}

template <class T, class Check>
void JsonObject::store(JsonValue from, T& out, const Check& check) {
  keep(read_json(from, out, unknown_));
  if (!outcome_) return;
  if constexpr (detail::kIsOptional<T>) {
    if (out) judge(from, check(*out));
  } else if constexpr (detail::kIsVector<T>) {
    if constexpr (std::invocable<const Check&, const typename T::value_type&>) {
      for (std::size_t i = 0; i < out.size(); ++i) judge(from.item(i), check(out[i]));
    } else {
      judge(from, check(out));
    }
  } else {
    judge(from, check(out));
  }
}

template <class T, class Check>
void JsonObject::required(std::string_view key, T& out, Check check) {
  if (const auto member = need(key)) store(*member, out, check);
}

template <class T, class Check>
void JsonObject::optional(std::string_view key, T& out, Check check) {
  if (const auto member = value(key)) store(*member, out, check);
}

template <class Body>
void JsonObject::object(std::string_view key, bool /*given*/, Body&& body) {
  const auto member = value(key);
  if (!member) return;
  JsonObject inner(*member, unknown_);
  body(inner);
  keep(inner.done());
}

template <class T, class Known>
void JsonObject::known_only(std::string_view key, std::vector<T>& list, Known known) {
  const auto member = value(key);
  if (!member) return;
  std::vector<T> kept;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (known(list[i])) {
      kept.push_back(std::move(list[i]));
    } else if (unknown_ != nullptr) {
      unknown_->add(member->item(i));
    }
  }
  list = std::move(kept);
}

}  // namespace agentvm
