#include "egress/http/http2.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>

#include "egress/http/deadline.h"
#include "egress/http/forward.h"
#include "egress/http/http2_exchange.h"
#include "egress/http/http2_session.h"
#include "egress/http/judge.h"
#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

constexpr std::chrono::minutes kIdle{10};  // without a request

using ExchangePtr = std::shared_ptr<Http2Exchange>;
using Exchanges = std::map<std::int32_t, ExchangePtr>;

ExchangePtr find(const Exchanges& exchanges, std::int32_t stream) {
  const auto found = exchanges.find(stream);
  return found == exchanges.end() ? nullptr : found->second;
}

class Proxy {
 public:
  Proxy(ServedConnection& connection, const asio::any_io_executor& executor)
      : c_(connection),
        executor_(executor),
        guest_events_(*this),
        upstream_events_(*this),
        over_(executor) {}
  asio::awaitable<void> run();

 private:
  struct GuestEvents final : Http2Events {
    explicit GuestEvents(Proxy& proxy) : p(proxy) {}
    void on_head(std::int32_t stream, Http2Head head, bool last) override;
    void on_data(std::int32_t stream, std::string_view bytes) override;
    void on_end(std::int32_t stream) override;
    void on_closed(std::int32_t stream, std::uint32_t error_code) override;
    void on_goaway() override {}
    Pulled pull(std::int32_t stream, std::span<char> into) override;
    Proxy& p;
  };
  struct UpstreamEvents final : Http2Events {
    explicit UpstreamEvents(Proxy& proxy) : p(proxy) {}
    void on_head(std::int32_t stream, Http2Head head, bool last) override;
    void on_data(std::int32_t stream, std::string_view bytes) override;
    void on_end(std::int32_t stream) override;
    void on_closed(std::int32_t stream, std::uint32_t error_code) override;
    void on_goaway() override { p.upstream_leaves(); }
    Pulled pull(std::int32_t stream, std::span<char> into) override;
    Proxy& p;
  };

  [[nodiscard]] Result<void> begin();
  void begin_request(std::int32_t stream, Http2Head head, bool last);
  [[nodiscard]] std::optional<Refusal> decide(Http2Exchange& exchange, Http2Head& head);
  void forward(const ExchangePtr& exchange, const Http2Head& head, bool last);
  void refuse(Http2Exchange& exchange, const Refusal& refusal, const Fields& request);
  void finish(const ExchangePtr& exchange);
  void fail_exchange(Http2Exchange& exchange, std::uint32_t error_code);
  void upstream_leaves();
  void upstream_gone();
  void close_all();
  void start(Task<void> task, std::function<void()> then);
  void watch_idle();

  ServedConnection& c_;
  asio::any_io_executor executor_;
  GuestEvents guest_events_;
  UpstreamEvents upstream_events_;
  std::unique_ptr<Http2Session> guest_;
  std::unique_ptr<Http2Session> upstream_;  // nullptr: there was none
  Exchanges by_guest_;
  Exchanges by_upstream_;
  bool leaving_ = false;  // the upstream takes no more requests
  std::optional<Deadline> idle_;
  unsigned tasks_ = 0;
  Event over_;  // no task is left
};

Result<void> Proxy::begin() {
  guest_ =
      TRY(Http2Session::create(Http2Session::Role::server, c_.guest, guest_events_, executor_));
  if (!c_.upstream) return {};
  upstream_ = TRY(Http2Session::create(Http2Session::Role::client, *c_.upstream->stream,
                                       upstream_events_, executor_));
  return {};
}

void Proxy::start(Task<void> task, std::function<void()> then) {
  ++tasks_;
  spawn<void>(executor_, std::move(task), [this, then = std::move(then)](const Result<void>&) {
    then();
    if (--tasks_ == 0) over_.set();
  });
}

asio::awaitable<void> Proxy::run() {
  if (!begin()) co_return;
  watch_idle();
  ++tasks_;  // this one, until all have begun
  if (upstream_) {
    start(upstream_->read_all(), [this] { upstream_gone(); });
    start(upstream_->write_all(), [this] { c_.upstream->stream->close(); });
  }
  start(guest_->write_all(), [this] { close_all(); });
  start(guest_->read_all(), [this] { close_all(); });
  if (--tasks_ == 0) over_.set();
  co_await over_.wait();
  for (const auto& [stream, exchange] : by_guest_) c_.surroundings.record(exchange->record);
}

void Proxy::close_all() {
  guest_->stop();
  c_.guest.finish();
  c_.guest.close();
  if (!upstream_) return;
  upstream_->stop();
  c_.upstream->stream->close();
}

void Proxy::watch_idle() {
  if (by_guest_.empty()) {
    idle_.emplace(executor_, kIdle, [this] { close_all(); });
  } else {
    idle_.reset();
  }
}

void Proxy::upstream_leaves() {
  if (std::exchange(leaving_, true)) return;
  // The guest's next requests come over another connection.
  guest_->goaway();
}

void Proxy::upstream_gone() {
  upstream_leaves();
  const Exchanges left = std::exchange(by_upstream_, {});
  for (const auto& [stream, exchange] : left) {
    exchange->upstream_open = false;
    exchange->upload_wanted = false;
    if (!exchange->in.ended) fail_exchange(*exchange, NGHTTP2_INTERNAL_ERROR);
  }
}

void Proxy::fail_exchange(Http2Exchange& exchange, std::uint32_t error_code) {
  exchange.record.reason =
      fmt::format("the upstream ended it: {}", ::nghttp2_http2_strerror(error_code));
  guest_->reset(exchange.guest, error_code);
}

// The exchange is over on the guest's side.
void Proxy::finish(const ExchangePtr& exchange) {
  by_guest_.erase(exchange->guest);
  guest_->consume(exchange->guest, exchange->out.drop());
  if (exchange->upstream != 0) upstream_->consume(exchange->upstream, exchange->in.drop());
  if (exchange->upstream_open) {
    by_upstream_.erase(exchange->upstream);
    upstream_->reset(exchange->upstream, NGHTTP2_CANCEL);
  }
  c_.surroundings.record(exchange->record);
  watch_idle();
}

std::optional<Refusal> Proxy::decide(Http2Exchange& exchange, Http2Head& head) {
  RequestRecord& record = exchange.record;
  record.destination = c_.destination;
  record.method = head.method;
  record.bytes_out = head.size;
  exchange.head_request = head.method == "HEAD";
  if (const std::string* host = head.fields.find("host")) {
    if (!head.authority.empty() && head.authority != *host) {
      return malformed_request(c_.destination, ":authority and Host differ");
    }
    head.authority = *host;
    if (head.fields.count("host") > 1) {
      return malformed_request(c_.destination, "more than one Host");
    }
    head.fields.remove("host");
  }
  if (head.scheme != "https") return malformed_request(c_.destination, "the scheme is not https");
  if (!is_target(head.path)) {
    return malformed_request(c_.destination, "the request's target is malformed");
  }
  head.fields.remove("proxy-authorization");
  exchange.judgement = judge({head.method, head.path, head.authority, head.fields}, c_.destination,
                             c_.over_tls, c_.surroundings);
  const Judgement& judgement = exchange.judgement;
  record.path = judgement.path;
  record.rule = judgement.rule;
  record.layer = judgement.layer;
  record.credentials = judgement.injection.names;
  record.allowed = !judgement.refusal;
  return judgement.refusal;
}

void Proxy::begin_request(std::int32_t stream, Http2Head head, bool last) {
  const auto exchange = std::make_shared<Http2Exchange>();
  exchange->guest = stream;
  by_guest_[stream] = exchange;
  watch_idle();
  if (const auto refusal = decide(*exchange, head)) {
    refuse(*exchange, *refusal, head.fields);
    return;
  }
  if (!upstream_) {
    Refusal refusal = malformed_request(c_.destination, "");
    refusal.status = 502;
    refusal.reason = c_.unreachable ? c_.unreachable->text() : "there is no connection";
    refuse(*exchange, refusal, head.fields);
    return;
  }
  if (leaving_) {
    // Safe to be asked again elsewhere (RFC 9113, 8.7).
    exchange->record.reason = "the upstream takes no more requests over this connection";
    guest_->reset(stream, NGHTTP2_REFUSED_STREAM);
    return;
  }
  forward(exchange, head, last);
}

void Proxy::forward(const ExchangePtr& exchange, const Http2Head& head, bool last) {
  const std::vector<Field> pseudo = {{":method", head.method},
                                     {":scheme", "https"},
                                     {":authority", head.authority},
                                     {":path", exchange->judgement.target}};
  const auto stream =
      upstream_->request(pseudo, head.fields, exchange->judgement.injection.fields, !last);
  if (!stream) {
    exchange->record.reason = stream.error().text();
    guest_->reset(exchange->guest, NGHTTP2_REFUSED_STREAM);
    return;
  }
  exchange->upstream = *stream;
  exchange->upstream_open = true;
  by_upstream_[*stream] = exchange;
}

void Proxy::refuse(Http2Exchange& exchange, const Refusal& refusal, const Fields& request) {
  exchange.record.allowed = false;
  exchange.record.reason = refusal.reason;
  exchange.upload_wanted = false;
  const RefusalBody body = describe(refusal, request);
  Fields fields;
  fields.add("content-type", body.type);
  fields.add("content-length", std::to_string(body.text.size()));
  fields.add("cache-control", "no-store");
  if (!exchange.head_request) exchange.in.put(body.text);
  exchange.in.ended = true;
  guest_->answer(exchange.guest, std::to_string(refusal.status), fields, !exchange.head_request);
}

void Proxy::GuestEvents::on_head(std::int32_t stream, Http2Head head, bool last) {
  const ExchangePtr exchange = find(p.by_guest_, stream);
  if (!exchange) {
    p.begin_request(stream, std::move(head), last);
    return;
  }
  std::erase_if(head.fields.list(), [&](const Field& field) {
    return !is_trailer(field.name) || is_managed(exchange->judgement.injection, field.name);
  });
  exchange->out.trailers = std::move(head.fields);
}

void Proxy::GuestEvents::on_data(std::int32_t stream, std::string_view bytes) {
  const ExchangePtr exchange = find(p.by_guest_, stream);
  if (!exchange || !exchange->upload_wanted || !exchange->upstream_open) {
    p.guest_->consume(stream, bytes.size());
    return;
  }
  exchange->record.bytes_out += bytes.size();
  exchange->out.put(bytes);
  p.upstream_->resume(exchange->upstream);
}

void Proxy::GuestEvents::on_end(std::int32_t stream) {
  const ExchangePtr exchange = find(p.by_guest_, stream);
  if (!exchange) return;
  exchange->out.ended = true;
  if (exchange->upstream_open) p.upstream_->resume(exchange->upstream);
}

void Proxy::GuestEvents::on_closed(std::int32_t stream, std::uint32_t /*error_code*/) {
  if (const ExchangePtr exchange = find(p.by_guest_, stream)) p.finish(exchange);
}

Http2Events::Pulled Proxy::GuestEvents::pull(std::int32_t stream, std::span<char> into) {
  const ExchangePtr exchange = find(p.by_guest_, stream);
  if (!exchange) return {.size = 0, .ended = true, .trailers = false};
  Pulled pulled;
  pulled.size = exchange->in.take(into);
  exchange->record.bytes_in += pulled.size;
  if (exchange->upstream != 0) p.upstream_->consume(exchange->upstream, pulled.size);
  pulled.ended = exchange->in.ended && exchange->in.is_empty();
  if (exchange->in.cut && exchange->in.is_empty()) p.guest_->reset(stream, NGHTTP2_NO_ERROR);
  if (!pulled.ended) return pulled;
  if (exchange->in.trailers) {
    p.guest_->trailers(stream, *exchange->in.trailers);
    pulled.trailers = true;
  }
  // What the guest still sends is taken and forgotten: told to stop by RST_STREAM with NO_ERROR
  // (RFC 9113, 8.1), curl drops the answer too.
  return pulled;
}

void Proxy::UpstreamEvents::on_head(std::int32_t stream, Http2Head head, bool last) {
  const ExchangePtr exchange = find(p.by_upstream_, stream);
  if (!exchange) return;
  scrub(exchange->judgement.injection, head.fields);
  exchange->record.bytes_in += head.size;
  if (head.status.empty()) {
    std::erase_if(head.fields.list(), [](const Field& field) { return !is_trailer(field.name); });
    exchange->in.trailers = std::move(head.fields);
    return;
  }
  exchange->answered = !head.status.starts_with('1');
  p.guest_->answer(exchange->guest, head.status, head.fields, !last);
}

void Proxy::UpstreamEvents::on_data(std::int32_t stream, std::string_view bytes) {
  const ExchangePtr exchange = find(p.by_upstream_, stream);
  if (!exchange) {
    p.upstream_->consume(stream, bytes.size());
    return;
  }
  exchange->in.put(bytes);
  p.guest_->resume(exchange->guest);
}

void Proxy::UpstreamEvents::on_end(std::int32_t stream) {
  const ExchangePtr exchange = find(p.by_upstream_, stream);
  if (!exchange) return;
  exchange->in.ended = true;
  p.guest_->resume(exchange->guest);
}

void Proxy::UpstreamEvents::on_closed(std::int32_t stream, std::uint32_t error_code) {
  const ExchangePtr exchange = find(p.by_upstream_, stream);
  if (!exchange) return;
  p.by_upstream_.erase(stream);
  exchange->upstream_open = false;
  exchange->upload_wanted = false;
  p.guest_->consume(exchange->guest, exchange->out.drop());
  if (!exchange->in.ended && (error_code != NGHTTP2_NO_ERROR || !exchange->answered)) {
    p.fail_exchange(*exchange, error_code);
    return;
  }
  // Node's servers end answers so now and then, without END_STREAM.
  exchange->in.cut = !exchange->in.ended;
  p.guest_->resume(exchange->guest);
}

Http2Events::Pulled Proxy::UpstreamEvents::pull(std::int32_t stream, std::span<char> into) {
  const ExchangePtr exchange = find(p.by_upstream_, stream);
  if (!exchange) return {.size = 0, .ended = true, .trailers = false};
  Pulled pulled;
  pulled.size = exchange->out.take(into);
  p.guest_->consume(exchange->guest, pulled.size);
  pulled.ended = exchange->out.ended && exchange->out.is_empty();
  if (pulled.ended && exchange->out.trailers) {
    p.upstream_->trailers(stream, *exchange->out.trailers);
    pulled.trailers = true;
  }
  return pulled;
}

}  // namespace

asio::awaitable<void> serve_http2(ServedConnection connection) {
  Proxy proxy(connection, co_await asio::this_coro::executor);
  co_await proxy.run();
}

}  // namespace agentvm::egress::http
