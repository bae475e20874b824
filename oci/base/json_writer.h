// Builds JSON text: members in the order in which they are written, strings escaped, bytes that are
// no UTF-8 replaced by U+FFFD (so the text is always a valid document).
//
//   JsonWriter json;
//   json.begin_object();
//   json.key("execute").value("device_add");
//   json.end_object();
//   send(json.take());
//
// A struct with a json_fields() list (json_fields.h): write_json(value).
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "oci/base/json_fields.h"

namespace agentvm {

// The caller keeps the order: key() before each value in an object, every begin_ has its end_.
class JsonWriter {
 public:
  // indent 0 writes everything on one line without spaces.
  explicit JsonWriter(int indent = 0) : indent_(indent) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);

  JsonWriter& null();
  JsonWriter& value(std::string_view text);
  template <std::integral T>
  JsonWriter& value(T number) {
    if constexpr (std::same_as<T, bool>) {
      return literal(number ? "true" : "false");
    } else {
      return literal(std::to_string(number));
    }
  }
  JsonWriter& value(double number);  // not finite: null
  // `json` is a JSON value already, from take() of another writer.
  JsonWriter& raw(std::string_view json) { return literal(json); }

  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  JsonWriter& literal(std::string_view text);
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void begin_value();
  void new_line();

  int indent_;
  std::string out_;
  std::vector<bool> has_items_;  // per open container
  bool after_key_ = false;
};

// Writes the members of one object: the counterpart of JsonObject.
class JsonObjectWriter {
 public:
  explicit JsonObjectWriter(JsonWriter& json) : json_(json) {}

  // An empty optional has nothing to write.
  template <class T, class Check = AnyValue>
  void required(std::string_view key, const T& value, const Check& /*check*/ = {});
  template <class T, class Check = AnyValue>
  void optional(std::string_view key, const T& value, const Check& check = {}) {
    if (!(value == T{})) required(key, value, check);
  }
  template <class T, class Check = AnyValue>
  void defaulted(std::string_view key, const T& value, const Check& check = {}) {
    required(key, value, check);
  }
  template <class Body>
  void object(std::string_view key, bool given, Body&& body) {
    if (!given) return;
    json_.key(key).begin_object();
    body(*this);
    json_.end_object();
  }
  void ensure(bool /*holds*/, std::string_view /*key*/, std::string_view /*text*/) {}
  template <class T, class Known>
  void known_only(std::string_view /*key*/, const std::vector<T>& /*list*/, Known /*known*/) {}

 private:
  JsonWriter& json_;
};

// Any type that read_json() reads. An empty optional is null.
template <class T>
void write_json(JsonWriter& json, const T& value) {
  if constexpr (std::is_enum_v<T>) {
    for (const auto& [word, meant] : json_words(T{})) {
      if (meant == value) {
        json.value(word);
        return;
      }
    }
    json.null();
  } else if constexpr (std::integral<T> || std::same_as<T, double> ||
                       std::convertible_to<const T&, std::string_view>) {
    json.value(value);
  } else if constexpr (detail::kIsOptional<T>) {
    if (value) {
      write_json(json, *value);
    } else {
      json.null();
    }
  } else if constexpr (detail::kIsVector<T>) {
    json.begin_array();
    for (const auto& item : value) write_json(json, item);
    json.end_array();
  } else if constexpr (detail::kIsStringMap<T>) {
    json.begin_object();
    for (const auto& [name, item] : value) {
      json.key(name);
      write_json(json, item);
    }
    json.end_object();
  } else {
    json.begin_object();
    JsonObjectWriter object(json);
    json_fields(object, value);
    json.end_object();
  }
}

template <class T>
[[nodiscard]] std::string write_json(const T& value, int indent = 0) {
  JsonWriter json(indent);
  write_json(json, value);
  return json.take();
}

template <class T, class Check>
void JsonObjectWriter::required(std::string_view key, const T& value, const Check& /*check*/) {
  if constexpr (detail::kIsOptional<T>) {
    if (!value) return;
  }
  json_.key(key);
  write_json(json_, value);
}

}  // namespace agentvm
