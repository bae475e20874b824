// What the parts of one gateway share. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "egress/gateway/decision_log.h"
#include "egress/gateway/pins.h"
#include "egress/gateway/relay.h"
#include "egress/gateway/resolver.h"
#include "egress/settings.h"

namespace agentvm::egress {

class TlsOpener;

struct Counters {
  std::uint64_t connections = 0;  // since the start
  std::uint64_t refused = 0;      // for there were too many
  std::uint64_t questions = 0;    // of DNS
  std::uint64_t bytes_in = 0;     // to the guest
  std::uint64_t bytes_out = 0;    // from the guest
  std::uint64_t updates = 0;
};

struct GatewayState {
  std::shared_ptr<const Settings> settings;  // never null; replaced by updates
  DecisionLog log;
  Resolver resolver;
  std::shared_ptr<TlsOpener> opener;  // null: the sandbox has no authority
  bool ipv6 = false;
  Pins pins = {};
  PipePool pipes = {};
  Counters counters = {};
};

}  // namespace agentvm::egress
