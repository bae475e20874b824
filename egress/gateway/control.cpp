#include "egress/gateway/control.h"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "egress/gateway/judge.h"
#include "egress/gateway/pause.h"
#include "oci/base/json_writer.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

using Unix = asio::local::stream_protocol;

constexpr std::size_t kLargeLine = 65'536;
constexpr JsonLimits kLimits{.bytes = Control::kMaxLine, .depth = 10, .values = 140'000};

enum class Operation : std::uint8_t { update, check, status };

std::span<const JsonWord<Operation>> json_words(Operation /*of*/) {
  static constexpr JsonWord<Operation> kWords[] = {
      {"update", Operation::update}, {"check", Operation::check}, {"status", Operation::status}};
  return kWords;
}

std::string_view word_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::allow:
      return "allow";
    case Verdict::deny:
      return "deny";
    case Verdict::inspect:
      return "inspect";
  }
  return "deny";
}

struct CheckRequest {
  Operation op = Operation::check;
  std::string host, method, path;
  std::uint16_t port = 0;
};

void json_fields(auto& io, Like<CheckRequest> auto& request) {
  io.required("op", request.op);
  io.required("host", request.host);
  io.optional("port", request.port);
  io.optional("method", request.method);
  io.optional("path", request.path);
}

// As a guest would ask: by name before the address is known, or by the address alone.
Decision decide(const Settings& settings, const CheckRequest& request, const Peer& peer) {
  if (peer.port == 0 && !peer.address) return settings.policy.decide_name(peer.name);
  if (request.path.empty() && request.method.empty()) return settings.decide_connection(peer);
  const Decision connection = settings.policy.decide_connection(peer);
  if (connection.verdict == Verdict::deny) return connection;
  return settings.policy.decide_request(peer, request.method.empty() ? "GET" : request.method,
                                        request.path.empty() ? "/" : request.path);
}

std::string failed(const Error& error) {
  JsonWriter json;
  json.begin_object();
  json.key("ok").value(false);
  json.key("error").value(error.text());
  json.end_object();
  return json.take();
}

}  // namespace

Result<std::string> Control::update(JsonValue request, const Stopwatch& watch) {
  JsonObject object(request);
  const auto settings = object.value("settings");
  const auto values = object.value("values");
  TRY(object.done());
  if (!settings) return fail(ErrorKind::invalid_argument, "an update without settings");
  const Settings& old = *state_.settings;
  std::shared_ptr<const Values> known = old.values;
  if (values) known = std::make_shared<const Values>(TRY(read_values(*values)));
  Settings next = TRY(read_settings(*settings, std::move(known)));
  if (next.sandbox != old.sandbox || next.container != old.container) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("these settings are for sandbox '{}', container {}; this gateway is "
                            "for '{}', {}",
                            next.sandbox, next.container, old.sandbox, old.container));
  }
  if (next.ca_certificate != old.ca_certificate) {
    return fail(ErrorKind::failed_precondition,
                "the sandbox's authority changes only when it is restarted");
  }
  const std::size_t rules = next.policy.rules().size();
  state_.settings = std::make_shared<const Settings>(std::move(next));
  ++state_.counters.updates;
  const std::size_t closed = proxy_.reconsider();
  JsonWriter json;
  json.begin_object();
  json.key("ok").value(true);
  json.key("rules").value(rules);
  json.key("closed").value(closed);
  json.key("microseconds").value(watch.us());
  json.end_object();
  return json.take();
}

Result<std::string> Control::check(JsonValue from) const {
  CheckRequest request;
  TRY(read_json(from, request));
  const Settings& settings = *state_.settings;
  Peer peer;
  std::string name;
  if (const auto address = parse_address(request.host)) {
    peer.address = *address;
  } else {
    name = TRY(parse_host_name(request.host));
  }
  peer.name = name;
  peer.port = request.port;
  const Decision decision = decide(settings, request, peer);
  JsonWriter json;
  json.begin_object();
  json.key("ok").value(true);
  json.key("verdict").value(word_of(decision.verdict));
  json.key("reason").value(reason_of(decision, peer.address ? &*peer.address : nullptr));
  json.key("rule").value(decision.rule != nullptr ? std::string_view(decision.rule->text) : "");
  json.key("layer").value(decision.rule != nullptr ? std::string_view(decision.rule->layer) : "");
  json.end_object();
  return json.take();
}

std::string Control::status() const {
  rusage usage{};
  (void)::getrusage(RUSAGE_SELF, &usage);
  const Counters& counters = state_.counters;
  const auto up = std::chrono::steady_clock::now() - start_;
  JsonWriter json;
  json.begin_object();
  json.key("ok").value(true);
  json.key("sandbox").value(state_.settings->sandbox);
  json.key("seconds").value(std::chrono::duration_cast<std::chrono::seconds>(up).count());
  json.key("rules").value(state_.settings->policy.rules().size());
  json.key("updates").value(counters.updates);
  json.key("connections").value(proxy_.size());
  json.key("connections_total").value(counters.connections);
  json.key("connections_refused").value(counters.refused);
  json.key("questions").value(counters.questions);
  json.key("names").value(state_.pins.size());
  json.key("bytes_in").value(counters.bytes_in);
  json.key("bytes_out").value(counters.bytes_out);
  json.key("allowed").value(state_.log.allowed());
  json.key("denied").value(state_.log.denied());
  json.key("records_lost").value(state_.log.lost());
  json.key("peak_memory_kib").value(usage.ru_maxrss);
  json.end_object();
  return json.take();
}

Result<std::string> Control::perform(std::string_view line) {
  const Stopwatch watch;
  const JsonDocument document = TRY(JsonDocument::parse(line, kLimits));
  TRY(document.root().expect(JsonKind::object));
  const auto op = document.root().find("op");
  if (!op) return fail(ErrorKind::invalid_argument, "/op: required");
  Operation operation{};
  TRY(read_json(*op, operation));
  switch (operation) {
    case Operation::update:
      return update(document.root(), watch);
    case Operation::check:
      return check(document.root());
    case Operation::status:
      return status();
  }
  return fail(ErrorKind::internal, "no operation");
}

std::string Control::answer(std::string_view line) {
  const auto done = perform(line);
  return done ? *done : failed(done.error());
}

asio::awaitable<void> Control::converse(std::shared_ptr<Socket> socket) {
  std::string bytes;
  for (;;) {
    auto [code, size] = co_await asio::async_read_until(
        *socket, asio::dynamic_buffer(bytes, kMaxLine), '\n', use_result);
    if (code) break;
    std::string reply = answer(std::string_view(bytes).substr(0, size - 1)) + "\n";
    // It may have held secrets.
    ::explicit_bzero(bytes.data(), size);
    bytes.erase(0, size);
    if (size > kLargeLine) {
      bytes.shrink_to_fit();
      (void)::malloc_trim(0);
    }
    auto [write_code, written] =
        co_await asio::async_write(*socket, asio::buffer(reply), use_result);
    if (write_code) break;
  }
  ::explicit_bzero(bytes.data(), bytes.size());
  --clients_;
}

asio::awaitable<void> Control::accept(std::shared_ptr<Unix::acceptor> acceptor) {
  for (;;) {
    const auto socket = std::make_shared<Socket>(acceptor->get_executor());
    auto [code] = co_await acceptor->async_accept(*socket, use_result);
    if (code == asio::error::operation_aborted) co_return;
    if (code) {
      co_await pause(kAfterFailure);
      continue;
    }
    if (clients_ >= kMaxClients) continue;
    ++clients_;
    asio::co_spawn(acceptor->get_executor(), converse(socket), asio::detached);
  }
}

void Control::serve(Unix::acceptor acceptor) {
  const auto shared = std::make_shared<Unix::acceptor>(std::move(acceptor));
  asio::co_spawn(shared->get_executor(), accept(shared), asio::detached);
}

}  // namespace agentvm::egress
