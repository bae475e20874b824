// Heads as they are sent on: what was meant for one connection alone is taken off, and where the
// message ends is said anew (RFC 9110, 7.6.1).
#pragma once

#include <string>

#include "egress/http/head.h"
#include "egress/http/judge.h"

namespace agentvm::egress::http {

// Whether the request asks for another protocol that may be had: all but h2c, which would be
// requests that nobody looks at.
[[nodiscard]] bool asks_upgrade(const RequestHead& request, const Framing& framing);

struct ForwardedRequest {
  const RequestHead& head;
  const Judgement& judgement;
  Framing framing;
  bool upgrade = false;
};
// It may hold secrets: the caller wipes it.
[[nodiscard]] std::string write_request(const ForwardedRequest& request);

struct ForwardedResponse {
  const ResponseHead& head;
  Framing framing;
  bool keep_alive = true;  // towards the guest
  bool chunked = false;    // how the body is sent
  bool upgrade = false;    // 101
};
[[nodiscard]] std::string write_response(const ForwardedResponse& response);

// An answer of our own. `head_only`: to HEAD.
struct OwnAnswer {
  unsigned status = 403;
  RefusalBody body;
  bool keep_alive = false;
  bool head_only = false;
};
[[nodiscard]] std::string write_answer(const OwnAnswer& answer);

// Whether trailers may have the field (RFC 9110, 6.5.1): none that frames, routes, or stands for
// who asks.
[[nodiscard]] bool is_trailer(std::string_view name);

}  // namespace agentvm::egress::http
