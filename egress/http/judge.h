// What becomes of one request: refused with a text for the guest, or sent on to where it goes,
// with its credentials.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "egress/http/credentials.h"
#include "egress/http/exchange.h"
#include "egress/http/fields.h"

namespace agentvm::egress::http {

// A request as it came. `fields` are changed: what must not go on is taken off.
struct Request {
  std::string_view method;
  std::string_view target;     // of any form (RFC 9112, 3.2)
  std::string_view authority;  // Host, or :authority
  Fields& fields;
};

struct Refusal {
  unsigned status = 403;
  std::string host;
  std::string reason;  // a sentence
  std::string rule;    // empty: none decided
  std::string layer;
  std::string remedy;  // what to do on the host; empty: nothing would help
};

struct Judgement {
  Destination destination;         // with the name that the request says
  std::string target;              // for an origin: "/path?query" or "*"
  std::string path;                // without the query, for the log
  std::optional<Refusal> refusal;  // nothing: it goes on
  std::string rule, layer;         // that allowed it; empty: none did
  Injection injection;
};

// `destination`: the connection's. Its requests go nowhere else: one that says another host is
// misdirected (421), whether by mistake or to hide behind an allowed name.
[[nodiscard]] Judgement judge(const Request& request, const Destination& destination, bool over_tls,
                              Surroundings& surroundings);

// A request that is refused before anything can be asked about it.
[[nodiscard]] Refusal malformed_request(const Destination& destination, std::string reason);

struct RefusalBody {
  std::string_view type;  // Content-Type
  std::string text;
};
// JSON {error, host, rule, reason, how_to_allow} for those whose Accept asks for it, else lines.
[[nodiscard]] RefusalBody describe(const Refusal& refusal, const Fields& request);

}  // namespace agentvm::egress::http
