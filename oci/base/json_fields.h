// One list of fields per struct, from which both reading and writing come. A struct that has a JSON
// form gets, in its own namespace, a function template
//
//   void json_fields(auto& io, Like<User> auto& user) {
//     io.required("uid", user.uid);
//     io.optional("umask", user.umask, is_umask);
//   }
//
// `io` is a JsonObject (json_reader.h) when reading and a JsonObjectWriter (json_writer.h) when
// writing. It offers:
//   required(key, value [, check])  reading: an error when absent or null; writing: always written
//   optional(key, value [, check])  absent or null leaves the value alone; written when it differs
//                                   from a default-constructed one
//   defaulted(key, value [, check]) as optional when reading, always written
//   object(key, given, body)        a nested object without a struct of its own: body(inner_io)
//   ensure(holds, key, text)        a rule over several fields; reading only
//   known_only(key, list, known)    drops what `known` refuses and reports it; reading only
// A check takes the value, or each element of a vector, and returns what is wrong ("" for fine) in
// words like "must be an absolute path"; the reader adds what it found.
// An enum gets `std::span<const JsonWord<E>> json_words(E)`: the closed list of its words.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace agentvm {

template <class T, class U>
concept Like = std::same_as<std::remove_const_t<T>, U>;

template <class E>
struct JsonWord {
  std::string_view word;
  E value;
};

// The default check: everything of the right type is fine.
struct AnyValue {
  template <class T>
  std::string_view operator()(const T&) const {
    return {};
  }
};

namespace detail {

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;

template <class T>
inline constexpr bool kIsStringMap = false;
template <class T>
inline constexpr bool kIsStringMap<std::map<std::string, T>> = true;

}  // namespace detail
}  // namespace agentvm
