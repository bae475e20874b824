// What becomes of a connection, once it is known what is spoken on it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "egress/client_hello.h"
#include "egress/settings.h"

namespace agentvm::egress {

enum class Way : std::uint8_t {
  deny,
  pass,  // bytes go through as they are
  open,  // TLS is opened, and its requests are decided
};

struct Judgement {
  Way way = Way::deny;
  std::string name;  // the one by which it is meant; empty: the address alone
  std::string rule;
  std::string layer;
  std::string reason;  // a sentence, also for what is allowed
  bool raw = false;    // without credentials: they have no place in it
};

// Where the guest's connection goes.
struct Approach {
  Address address;
  std::uint16_t port = 0;
  std::vector<std::string> names;  // pinned to the address
};

// TLS: the name that the client says has to be pinned to the address, unless the address itself is
// allowed. A hidden name (ECH) is no name.
[[nodiscard]] Judgement judge_tls(const Settings& settings, const Approach& approach,
                                  const ClientHello& hello);
// Anything else but HTTP: by the address or by any name that is pinned to it. `server_first`: on
// this port the server speaks first, so that nothing can be put in or looked at.
[[nodiscard]] Judgement judge_raw(const Settings& settings, const Approach& approach,
                                  bool server_first);
// Whether what passes still may: for connections that are there when settings change.
[[nodiscard]] bool still_holds(const Settings& settings, const Judgement& judgement,
                               const Approach& approach);

// A decision in a sentence: "by rule 'deny *' of user", "no rule allows it".
[[nodiscard]] std::string reason_of(const Decision& decision, const Address* address);

}  // namespace agentvm::egress
