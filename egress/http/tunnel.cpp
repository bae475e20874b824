#include "egress/http/tunnel.h"

#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

// A direction that is cut takes the other one with it.
Task<bool> copy(TunnelEnd from, TunnelEnd to) {
  for (;;) {
    if (from.reader.empty()) {
      const auto filled = co_await from.reader.fill();
      if (!filled) break;
      if (!*filled) {
        to.stream.finish();
        co_return true;
      }
    }
    const std::string_view bytes = from.reader.view();
    const auto written = co_await to.stream.write(bytes);
    if (!written) break;
    from.bytes += bytes.size();
    from.reader.consume(bytes.size());
  }
  from.stream.close();
  to.stream.close();
  co_return false;
}

}  // namespace

asio::awaitable<void> tunnel(TunnelEnd guest, TunnelEnd upstream) {
  Task<bool> out = copy(guest, upstream);
  Task<bool> in = copy(upstream, guest);
  (void)co_await both<bool, bool>(std::move(out), std::move(in));
}

}  // namespace agentvm::egress::http
