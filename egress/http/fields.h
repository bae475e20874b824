// Header fields (RFC 9110, section 5): a list that keeps its order and its letters' case.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace agentvm::egress::http {

struct Field {
  std::string name;
  std::string value;
  friend bool operator==(const Field&, const Field&) = default;
};

// ASCII letters' case aside.
[[nodiscard]] bool same_word(std::string_view a, std::string_view b);

class Fields {
 public:
  void add(std::string_view name, std::string_view value) {
    list_.push_back({std::string(name), std::string(value)});
  }
  [[nodiscard]] const std::vector<Field>& list() const { return list_; }
  [[nodiscard]] std::vector<Field>& list() { return list_; }

  [[nodiscard]] std::size_t count(std::string_view name) const;
  [[nodiscard]] bool contains(std::string_view name) const { return find(name) != nullptr; }
  // The first of that name; nullptr: none.
  [[nodiscard]] const std::string* find(std::string_view name) const;
  void remove(std::string_view name);

  // Whether one of the comma-separated words of all fields of that name is `word`.
  [[nodiscard]] bool has_word(std::string_view name, std::string_view word) const;
  // Calls `visit` with each of these words.
  void for_each_word(std::string_view name,
                     const std::function<void(std::string_view)>& visit) const;

  friend bool operator==(const Fields&, const Fields&) = default;

 private:
  std::vector<Field> list_;
};

// Without spaces and tabs at both ends.
[[nodiscard]] std::string_view trim(std::string_view text);

}  // namespace agentvm::egress::http
