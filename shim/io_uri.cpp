#include "shim/io_uri.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::shim {

namespace {

constexpr std::size_t kMaxUri = 16384;
constexpr std::size_t kMaxWords = 256;

std::unexpected<Error> wrong(std::string_view text, std::string_view why) {
  return fail(ErrorKind::invalid_argument, fmt::format("stream '{}': {}", text, why));
}

// RFC 3986, 2.1; in a query '+' is a blank, as net/url has it.
std::optional<std::string> unescape(std::string_view text, bool query) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += query && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 3 > text.size()) return std::nullopt;
    const char* first = text.data() + i + 1;
    const auto [end, code] = std::from_chars(first, first + 2, value, 16);
    if (code != std::errc() || end != first + 2 || value == 0) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

std::optional<IoUri::Kind> kind_of(std::string_view scheme) {
  if (scheme == "fifo") return IoUri::Kind::fifo;
  if (scheme == "file") return IoUri::Kind::file;
  if (scheme == "binary") return IoUri::Kind::binary;
  return std::nullopt;
}

Result<void> read_query(std::string_view text, std::string_view query, IoUri& uri) {
  for (const std::string_view pair : split(query, "&")) {
    const std::size_t equals = pair.find('=');
    const auto key = unescape(pair.substr(0, equals), true);
    const auto value =
        unescape(equals == pair.npos ? std::string_view() : pair.substr(equals + 1), true);
    if (!key || !value) return wrong(text, "a wrong escape");
    if (uri.words.size() >= kMaxWords) return wrong(text, "too many arguments");
    uri.words.push_back(*key);
    uri.words.push_back(*value);
  }
  return {};
}

}  // namespace

Result<IoUri> parse_io_uri(std::string_view text) {
  IoUri uri;
  if (text.empty()) return uri;
  if (text.size() > kMaxUri) return wrong(text.substr(0, 64), "too long");
  if (text.find('\0') != text.npos) return wrong(text, "a NUL character");
  const std::size_t colon = text.find("://");
  if (colon == text.npos) {
    // A path is taken as it is: FIFOs' names are containerd's own.
    if (text[0] != '/') return wrong(text, "not an absolute path");
    uri.kind = IoUri::Kind::fifo;
    uri.path = text;
    return uri;
  }
  const auto kind = kind_of(text.substr(0, colon));
  if (!kind) return wrong(text, "not fifo, file or binary");
  uri.kind = *kind;
  std::string_view rest = text.substr(colon + 3);
  const std::size_t mark = rest.find('?');
  if (mark != rest.npos) {
    TRY(read_query(text, rest.substr(mark + 1), uri));
    rest = rest.substr(0, mark);
  }
  if (uri.kind != IoUri::Kind::binary) uri.words.clear();
  const auto path = unescape(rest, false);
  if (!path) return wrong(text, "a wrong escape");
  if (path->empty() || (*path)[0] != '/') return wrong(text, "not an absolute path");
  uri.path = *path;
  return uri;
}

}  // namespace agentvm::shim
