#include "egress/http/fields.h"

#include <algorithm>

namespace agentvm::egress::http {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::size_t Fields::count(std::string_view name) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      list_, [&](const Field& field) { return same_word(field.name, name); }));
}

const std::string* Fields::find(std::string_view name) const {
  const auto found =
      std::ranges::find_if(list_, [&](const Field& field) { return same_word(field.name, name); });
  return found == list_.end() ? nullptr : &found->value;
}

void Fields::remove(std::string_view name) {
  std::erase_if(list_, [&](const Field& field) { return same_word(field.name, name); });
}

bool Fields::has_word(std::string_view name, std::string_view word) const {
  bool found = false;
  for_each_word(name, [&](std::string_view other) { found = found || same_word(other, word); });
  return found;
}

void Fields::for_each_word(std::string_view name,
                           const std::function<void(std::string_view)>& visit) const {
  for (const Field& field : list_) {
    if (!same_word(field.name, name)) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (const std::string_view word = trim(rest.substr(0, comma)); !word.empty()) visit(word);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
}

std::string_view trim(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace agentvm::egress::http
