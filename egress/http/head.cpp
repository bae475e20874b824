#include "egress/http/head.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

std::unexpected<Error> malformed(std::string what) {
  return fail(ErrorKind::invalid_argument, std::move(what));
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// tchar of RFC 9110, 5.6.2.
constexpr std::array<bool, 256> kTokenBytes = [] {
  std::array<bool, 256> table{};
  for (unsigned c = 'a'; c <= 'z'; ++c) table[c] = table[c - 'a' + 'A'] = true;
  for (unsigned c = '0'; c <= '9'; ++c) table[c] = true;
  for (const char c :
       {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

// Takes the first line off, without its CRLF.
std::string_view take_line(std::string_view& rest) {
  const std::size_t end = std::min(rest.find("\r\n"), rest.size());
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 2, rest.size()));
  return line;
}

// "HTTP/1.0" or "HTTP/1.1".
Result<unsigned> parse_version(std::string_view text) {
  if (text == "HTTP/1.1") return 1U;
  if (text == "HTTP/1.0") return 0U;
  return malformed("the version is neither HTTP/1.1 nor HTTP/1.0");
}

Result<void> parse_field(std::string_view line, Fields& fields) {
  if (line.front() == ' ' || line.front() == '\t') {
    return malformed("a header line begins with a space (obsolete folding)");
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return malformed("a header line has no colon");
  const std::string_view name = line.substr(0, colon);
  if (!is_token(name)) return malformed("the name of a header is no token");
  const std::string_view value = trim(line.substr(colon + 1));
  if (!is_field_value(value)) {
    return malformed(fmt::format("header '{}' holds a control character", name));
  }
  if (fields.list().size() == kMaxFields) {
    return malformed(fmt::format("more than {} headers", kMaxFields));
  }
  fields.add(name, value);
  return {};
}

Result<std::uint64_t> parse_length(std::string_view text) {
  std::uint64_t length = 0;
  const auto [end, code] = std::from_chars(text.begin(), text.end(), length);
  // 18 digits: no server's own arithmetic overflows.
  if (text.empty() || text.size() > 18 || code != std::errc() || end != text.end() ||
      !std::ranges::all_of(text, is_digit)) {
    return malformed("Content-Length is no number");
  }
  return length;
}

}  // namespace

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return kTokenBytes[static_cast<unsigned char>(c)];
  });
}

bool is_target(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTarget &&
         std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

bool is_field_value(std::string_view text) {
  return trim(text).size() == text.size() && std::ranges::all_of(text, [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
         });
}

Result<std::optional<std::size_t>> find_head_end(std::string_view bytes, std::size_t& seen) {
  const std::size_t end = std::min(bytes.size(), kMaxHead);
  for (; seen < end; ++seen) {
    const char c = bytes[seen];
    if (c == '\0') return malformed("a NUL in the head");
    if (c == '\n') {
      if (seen == 0 || bytes[seen - 1] != '\r') return malformed("a line feed without a return");
      const bool is_empty_line = seen == 1 || (seen >= 3 && bytes[seen - 2] == '\n');
      if (is_empty_line) return std::optional(seen + 1);
    } else if (seen > 0 && bytes[seen - 1] == '\r') {
      return malformed("a return without a line feed");
    }
  }
  if (bytes.size() >= kMaxHead) {
    return malformed(fmt::format("the head has more than {} bytes", kMaxHead));
  }
  return std::nullopt;
}

Result<Fields> parse_fields(std::string_view lines) {
  Fields fields;
  while (!lines.empty()) {
    const std::string_view line = take_line(lines);
    if (line.empty()) break;
    TRY(parse_field(line, fields));
  }
  return fields;
}

Result<RequestHead> parse_request_head(std::string_view head) {
  const std::string_view line = take_line(head);
  const std::size_t first = line.find(' ');
  const std::size_t second = line.rfind(' ');
  if (first == std::string_view::npos || first == second) {
    return malformed("the request line is not 'METHOD target HTTP/1.1'");
  }
  RequestHead request;
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, second - first - 1);
  if (request.method.size() > kMaxMethod || !is_token(request.method)) {
    return malformed("the method is no token");
  }
  if (!is_target(request.target)) return malformed("the request's target is malformed");
  request.minor = TRY(parse_version(line.substr(second + 1)));
  request.fields = TRY(parse_fields(head));
  return request;
}

Result<ResponseHead> parse_response_head(std::string_view head) {
  const std::string_view line = take_line(head);
  ResponseHead response;
  response.minor = TRY(parse_version(line.substr(0, 8)));
  const std::string_view status = line.substr(std::min<std::size_t>(line.size(), 8));
  if (status.size() < 4 || status[0] != ' ' || status[1] == '0' ||
      !std::ranges::all_of(status.substr(1, 3), is_digit) ||
      (status.size() > 4 && status[4] != ' ')) {
    return malformed("the status line is malformed");
  }
  std::from_chars(status.data() + 1, status.data() + 4, response.status);
  response.reason = trim(status.substr(std::min<std::size_t>(status.size(), 5)));
  if (!is_field_value(response.reason)) return malformed("the status line is malformed");
  response.fields = TRY(parse_fields(head));
  return response;
}

Result<Framing> framing_of(const RequestHead& head) {
  const std::size_t codings = head.fields.count("Transfer-Encoding");
  const std::size_t lengths = head.fields.count("Content-Length");
  if (codings > 0 && lengths > 0) {
    return malformed("both Content-Length and Transfer-Encoding");
  }
  if (codings > 0) {
    if (head.minor == 0) return malformed("Transfer-Encoding in HTTP/1.0");
    if (codings > 1 || !same_word(*head.fields.find("Transfer-Encoding"), "chunked")) {
      return malformed("a Transfer-Encoding other than chunked");
    }
    return Framing{BodyKind::chunked, 0};
  }
  if (lengths == 0) return Framing{};
  if (lengths > 1) return malformed("more than one Content-Length");
  const std::uint64_t size = TRY(parse_length(*head.fields.find("Content-Length")));
  return Framing{BodyKind::sized, size};
}

Result<Framing> framing_of(const ResponseHead& head, std::string_view method) {
  if (head.status < 200 || head.status == 204 || head.status == 304 || method == "HEAD") {
    return Framing{};
  }
  if (head.fields.contains("Transfer-Encoding")) {
    if (head.fields.count("Transfer-Encoding") > 1 ||
        !same_word(*head.fields.find("Transfer-Encoding"), "chunked") || head.minor == 0) {
      return malformed("a Transfer-Encoding other than chunked");
    }
    return Framing{BodyKind::chunked, 0};
  }
  const std::string* length = head.fields.find("Content-Length");
  if (!length) return Framing{BodyKind::until_close, 0};
  for (const Field& field : head.fields.list()) {
    if (same_word(field.name, "Content-Length") && field.value != *length) {
      return malformed("two lengths that differ");
    }
  }
  const std::uint64_t size = TRY(parse_length(*length));
  return Framing{BodyKind::sized, size};
}

}  // namespace agentvm::egress::http
