#include "egress/http/upstream.h"

#include <chrono>

#include "egress/http/deadline.h"
#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

constexpr std::chrono::seconds kHandshake{20};

Task<UpstreamPtr> open_plain(Surroundings& surroundings, Destination destination) {
  auto socket = co_await surroundings.connect(destination);
  auto upstream = std::make_unique<Upstream>(CO_TRY(std::move(socket)));
  upstream->stream = std::make_unique<PlainStream>(upstream->socket);
  upstream->reader = std::make_unique<StreamReader>(*upstream->stream);
  co_return upstream;
}

Task<UpstreamPtr> open_tls(Surroundings& surroundings, TlsOpener& opener,
                           std::vector<std::string> protocols, Destination destination) {
  auto socket = co_await surroundings.connect(destination);
  auto upstream = std::make_unique<Upstream>(CO_TRY(std::move(socket)));
  auto stream = CO_TRY(opener.connect(upstream->socket, host_of(destination), protocols));
  const auto executor = co_await asio::this_coro::executor;
  bool late = false;
  {
    const Deadline deadline(executor, kHandshake, [&] {
      late = true;
      stream->close();
    });
    auto done = co_await stream->handshake();
    if (late) co_return fail(ErrorKind::unavailable, "TLS handshake: it took too long");
    CO_TRY(std::move(done));
  }
  upstream->protocol = stream->protocol();
  upstream->stream = std::move(stream);
  upstream->reader = std::make_unique<StreamReader>(*upstream->stream);
  co_return upstream;
}

}  // namespace

Connect connect_plain(Surroundings& surroundings) {
  return [&surroundings](const Destination& destination) {
    return open_plain(surroundings, destination);
  };
}

Connect connect_tls(Surroundings& surroundings, TlsOpener& opener,
                    std::vector<std::string> protocols) {
  return
      [&surroundings, &opener, protocols = std::move(protocols)](const Destination& destination) {
        return open_tls(surroundings, opener, protocols, destination);
      };
}

std::string host_of(const Destination& destination) {
  return destination.name.empty() ? to_text(destination.address) : destination.name;
}

}  // namespace agentvm::egress::http
