// Puts the host's secrets into a guest's requests, in place of what the guest holds instead.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "egress/http/exchange.h"
#include "egress/http/fields.h"
#include "egress/secret.h"
#include "egress/settings.h"
#include "oci/base/error.h"

namespace agentvm::egress::http {

// A header that a request gets. It stays apart from the request's own, so that it can be wiped.
struct SecretField {
  std::string name;  // in lower case
  Secret value;
};

// What is put into one request, and what its answer must not say.
struct Injection {
  std::vector<SecretField> fields;
  std::vector<std::string> names;    // of the credentials, for the log
  std::vector<std::string> managed;  // headers that the host's credentials may go in

  struct Echo {
    Secret text;
    std::string instead;
  };
  std::vector<Echo> echoes;
};

struct AskedFor {
  const Destination& destination;
  bool over_tls = false;
  std::string_view method;
  std::string_view target;  // as in the request line of a request to an origin
};

// Takes every header off `fields` that is a managed host's credential's, and says what takes its
// place; nothing for a host that is no credential's. failed_precondition, with a sentence for the
// guest, where the request carries such a header and nothing may take its place: no value is known,
// the request is none of those that the credential is for, or it comes in the clear.
[[nodiscard]] Result<Injection> inject(const Settings& settings, const AskedFor& asked,
                                       Fields& fields);

// Whether `name` is one of `injection.managed`: not for the guest to send, in trailers either.
[[nodiscard]] bool is_managed(const Injection& injection, std::string_view name);

// Replaces the values of `injection` in the answer's headers, whatever form they were sent in.
// Values of less than kMinEcho characters are no secrets, and would be found everywhere.
inline constexpr std::size_t kMinEcho = 6;
void scrub(const Injection& injection, std::string& text);
void scrub(const Injection& injection, Fields& fields);

}  // namespace agentvm::egress::http
