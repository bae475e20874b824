// Heads of HTTP/1.1 and chunked bodies: what is taken for a head has one meaning, and a body
// decodes to the same however it is cut.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "egress/http/chunks.h"
#include "egress/http/forward.h"
#include "egress/http/head.h"

namespace agentvm::egress::http {
namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

// What is sent on reads as what came, and as nothing more.
void check_request(std::string_view bytes) {
  std::size_t seen = 0;
  const auto end = find_head_end(bytes, seen);
  if (!end || !*end) return;
  const auto head = parse_request_head(bytes.substr(0, **end));
  if (!head) return;
  const auto framing = framing_of(*head);
  if (!framing) return;
  Judgement judgement;
  judgement.target = head->target;
  const std::string out =
      write_request({*head, judgement, *framing, asks_upgrade(*head, *framing)});
  seen = 0;
  const auto out_end = find_head_end(out, seen);
  // Headers may have been added where the head was as large as it may be.
  if (!out_end) return;
  check(out_end->has_value() && **out_end == out.size());
  const auto again = parse_request_head(out);
  if (!again) return;
  check(again->method == head->method && again->target == head->target);
  check(framing_of(*again) == *framing);
}

void check_response(std::string_view bytes) {
  std::size_t seen = 0;
  const auto end = find_head_end(bytes, seen);
  if (!end || !*end) return;
  const auto head = parse_response_head(bytes.substr(0, **end));
  if (head) (void)framing_of(*head, "GET");
}

// The payload; nothing: malformed or cut.
std::optional<std::string> decode(std::string_view bytes, std::size_t size) {
  ChunkDecoder decoder;
  std::string payload, window;
  while (!decoder.ended()) {
    const auto step = decoder.feed(window);
    if (!step) return std::nullopt;
    check(step->used <= window.size() && step->payload.size() <= step->used);
    payload += step->payload;
    window.erase(0, step->used);
    if (step->used > 0 || decoder.ended()) continue;
    if (bytes.empty()) return std::nullopt;
    window += bytes.substr(0, size);
    bytes.remove_prefix(std::min(size, bytes.size()));
  }
  return payload;
}

}  // namespace
}  // namespace agentvm::egress::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace agentvm::egress::http;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_request(bytes);
  check_response(bytes);
  check(decode(bytes, 1) == decode(bytes, size + 1));
  return 0;
}
