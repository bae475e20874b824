// Paths of requests as rules name them, and as requests disguise them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::egress {

inline constexpr std::size_t kMaxGlob = 1024;
inline constexpr std::size_t kMaxPath = 16384;

// A glob begins with '/' and has no '.' or '..' segment. '*' stands for anything within a segment,
// '**' for anything. invalid_argument says why it is none.
[[nodiscard]] Result<void> check_glob(std::string_view glob);

// Whether all of `path`, as plain_path() gives it, is meant. Takes at most |glob| × |path| steps.
[[nodiscard]] bool matches_glob(std::string_view glob, std::string_view path);

// The path of a request's target, without its query, percent signs decoded: what rules are compared
// with. Nothing where servers differ about what is meant, and a rule would be passed by: '.', '..'
// and empty segments, an encoded '/' or '%', '\\', ';', NUL, a broken escape.
[[nodiscard]] std::optional<std::string> plain_path(std::string_view target);

}  // namespace agentvm::egress
