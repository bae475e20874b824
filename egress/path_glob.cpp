#include "egress/path_glob.h"

#include <vector>

namespace agentvm::egress {

namespace {

std::unexpected<Error> wrong(std::string_view why) {
  return fail(ErrorKind::invalid_argument, std::string(why));
}

// The next segment of what follows a '/'; takes it and its '/' away.
std::string_view take_segment(std::string_view& rest) {
  const std::size_t slash = rest.find('/');
  const std::string_view segment = rest.substr(0, slash);
  rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
  return segment;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decode(std::string_view path) {
  std::string plain;
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%') {
      if (i + 2 >= path.size()) return std::nullopt;
      const int high = hex_digit(path[i + 1]);
      const int low = hex_digit(path[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      // A second decoding would find another path.
      if (c == '/' || c == '%') return std::nullopt;
      i += 2;
    }
    if (c == '\\' || c == '\0' || c == ';') return std::nullopt;
    plain += c;
  }
  return plain;
}

}  // namespace

Result<void> check_glob(std::string_view glob) {
  if (!glob.starts_with('/')) return wrong("a path begins with '/'");
  if (glob.size() > kMaxGlob) return wrong("a path of more than 1024 characters");
  if (glob.find("***") != std::string_view::npos) return wrong("'***' means nothing");
  if (glob.find_first_of("?#%;\\") != std::string_view::npos) {
    return wrong("a path has no query, no fragment, no ';', '\\' or '%': it is compared decoded");
  }
  std::string_view rest = glob.substr(1);
  while (!rest.empty()) {
    const std::string_view segment = take_segment(rest);
    if (segment == "." || segment == "..") return wrong("a path has no '.' and '..'");
    if (segment.empty()) return wrong("a path has no empty segment");
  }
  return {};
}

bool matches_glob(std::string_view glob, std::string_view path) {
  // Row by row: which beginnings of the path the glob so far may have taken.
  std::vector<char> taken(path.size() + 1, 0);
  taken[0] = 1;
  for (std::size_t g = 0; g < glob.size(); ++g) {
    if (glob[g] == '*') {
      const bool deep = g + 1 < glob.size() && glob[g + 1] == '*';
      if (deep) ++g;
      for (std::size_t p = 0; p < path.size(); ++p) {
        if (taken[p] != 0 && (deep || path[p] != '/')) taken[p + 1] = 1;
      }
      continue;
    }
    for (std::size_t p = path.size(); p > 0; --p) {
      taken[p] = static_cast<char>(taken[p - 1] != 0 && path[p - 1] == glob[g]);
    }
    taken[0] = 0;
  }
  return taken[path.size()] != 0;
}

std::optional<std::string> plain_path(std::string_view target) {
  if (!target.starts_with('/') || target.size() > kMaxPath) return std::nullopt;
  auto plain = decode(target.substr(0, target.find_first_of("?#")));
  if (!plain) return std::nullopt;
  std::string_view rest = std::string_view(*plain).substr(1);
  while (!rest.empty()) {
    const std::string_view segment = take_segment(rest);
    if (segment.empty() || segment == "." || segment == "..") return std::nullopt;
  }
  return plain;
}

}  // namespace agentvm::egress
