#include "egress/http/forward.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace agentvm::egress::http {

namespace {

constexpr std::string_view kOfOneConnection[] = {
    "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
    "TE",         "Upgrade",    "HTTP2-Settings",   "Transfer-Encoding",  "Content-Length",
    "Host"};

constexpr std::string_view kNoTrailers[] = {
    "Authorization", "Content-Encoding", "Content-Range", "Content-Type", "Cookie",
    "Expect",        "Max-Forwards",     "Range",         "Set-Cookie",   "Trailer"};

bool is_among(std::string_view name, const auto& names) {
  return std::ranges::any_of(names, [&](std::string_view other) { return same_word(name, other); });
}

void add_line(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

// The fields that are meant for the other end.
void add_fields(std::string& out, const Fields& fields) {
  std::vector<std::string_view> named;
  fields.for_each_word("Connection", [&](std::string_view word) { named.push_back(word); });
  for (const Field& field : fields.list()) {
    if (is_among(field.name, kOfOneConnection) || is_among(field.name, named)) continue;
    add_line(out, field.name, field.value);
  }
}

void add_framing(std::string& out, const Framing& framing) {
  if (framing.kind == BodyKind::sized) {
    add_line(out, "Content-Length", std::to_string(framing.size));
  } else if (framing.kind == BodyKind::chunked) {
    add_line(out, "Transfer-Encoding", "chunked");
  }
}

void add_upgrade(std::string& out, const Fields& fields) {
  add_line(out, "Connection", "Upgrade");
  for (const Field& field : fields.list()) {
    if (same_word(field.name, "Upgrade")) add_line(out, field.name, field.value);
  }
}

std::size_t size_of(const Fields& fields) {
  std::size_t size = 0;
  for (const Field& field : fields.list()) size += field.name.size() + field.value.size() + 4;
  return size;
}

std::string_view reason_of(unsigned status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 421:
      return "Misdirected Request";
    case 502:
      return "Bad Gateway";
    default:
      return "Error";
  }
}

}  // namespace

bool asks_upgrade(const RequestHead& request, const Framing& framing) {
  return request.minor == 1 && framing.kind == BodyKind::none &&
         request.fields.has_word("Connection", "upgrade") && request.fields.contains("Upgrade") &&
         !request.fields.has_word("Upgrade", "h2c");
}

std::string write_request(const ForwardedRequest& request) {
  const RequestHead& head = request.head;
  const Injection& injection = request.judgement.injection;
  std::size_t size = 256 + request.judgement.target.size() + size_of(head.fields);
  for (const SecretField& field : injection.fields) {
    size += field.name.size() + field.value.reveal().size() + 4;
  }
  std::string out;
  out.reserve(size);  // once: growing would leave copies of secrets
  fmt::format_to(std::back_inserter(out), "{} {} HTTP/1.{}\r\n", head.method,
                 request.judgement.target, head.minor);
  if (const std::string* host = head.fields.find("Host")) add_line(out, "Host", *host);
  add_fields(out, head.fields);
  if (head.fields.has_word("TE", "trailers")) {
    add_line(out, "TE", "trailers");
    if (!request.upgrade) add_line(out, "Connection", "TE");
  }
  add_framing(out, request.framing);
  if (request.upgrade) {
    add_upgrade(out, head.fields);
  } else if (head.minor == 0) {
    add_line(out, "Connection", "close");
  }
  for (const SecretField& field : injection.fields) {
    add_line(out, field.name, field.value.reveal());
  }
  out += "\r\n";
  return out;
}

std::string write_response(const ForwardedResponse& response) {
  const ResponseHead& head = response.head;
  std::string out;
  out.reserve(256 + head.reason.size() + size_of(head.fields));
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", head.status, head.reason);
  add_fields(out, head.fields);
  if (response.upgrade) {
    add_upgrade(out, head.fields);
  } else if (response.framing.kind == BodyKind::none && head.status >= 200 && head.status != 204) {
    // What the body would have had: answers to HEAD, and 304.
    if (const std::string* length = head.fields.find("Content-Length")) {
      add_line(out, "Content-Length", *length);
    }
  } else if (response.framing.kind != BodyKind::chunked || response.chunked) {
    add_framing(out, response.framing);
  }
  if (!response.keep_alive && head.status >= 200) add_line(out, "Connection", "close");
  out += "\r\n";
  return out;
}

std::string write_answer(const OwnAnswer& answer) {
  std::string out = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: "
      "no-store\r\n{}\r\n",
      answer.status, reason_of(answer.status), answer.body.type, answer.body.text.size(),
      answer.keep_alive ? "" : "Connection: close\r\n");
  if (!answer.head_only) out += answer.body.text;
  return out;
}

bool is_trailer(std::string_view name) {
  return !is_among(name, kOfOneConnection) && !is_among(name, kNoTrailers);
}

}  // namespace agentvm::egress::http
