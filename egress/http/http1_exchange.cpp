#include "egress/http/http1_exchange.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <utility>

#include "egress/http/body.h"
#include "egress/http/forward.h"
#include "egress/http/tunnel.h"
#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

constexpr std::uint64_t kMaxSkipped = 65'536;  // of a refused request's body
constexpr unsigned kMaxInterim = 32;           // answers 1xx to one request

}  // namespace

void Http1Exchange::note(const Judgement& judgement) {
  record_.destination = judgement.destination;
  record_.method = head_.method;
  record_.path = judgement.path;
  record_.allowed = !judgement.refusal;
  record_.rule = judgement.rule;
  record_.layer = judgement.layer;
  record_.credentials = judgement.injection.names;
  if (judgement.refusal) record_.reason = judgement.refusal->reason;
}

asio::awaitable<bool> Http1Exchange::run() {
  const auto framing = framing_of(head_);
  Refusal malformed = malformed_request(c_.destination, "");
  if (!framing) {
    malformed.reason = framing.error().text();
  } else if (head_.fields.count("Host") != 1) {
    malformed.reason = head_.fields.contains("Host") ? "more than one Host" : "no Host";
  }
  if (!malformed.reason.empty()) {
    record_.destination = c_.destination;
    record_.method = head_.method;
    framing_ = {BodyKind::until_close, 0};  // nobody knows where the next request begins
    co_return co_await refuse(std::move(malformed));
  }
  framing_ = *framing;
  const std::string host = *head_.fields.find("Host");
  const Request request{head_.method, head_.target, host, head_.fields};
  judgement_ = judge(request, c_.destination, c_.over_tls, c_.surroundings);
  note(judgement_);
  if (judgement_.refusal) co_return co_await refuse(*judgement_.refusal);
  // What is sent to another host than before goes another way.
  if (c_.destination.name.empty()) c_.destination.name = judgement_.destination.name;
  const bool again = co_await forward();
  c_.surroundings.record(record_);
  co_return again;
}

// The connection goes on where the next request's beginning is known and near.
asio::awaitable<bool> Http1Exchange::refuse(Refusal refusal) {
  record_.allowed = false;
  record_.reason = refusal.reason;
  const bool nothing_follows =
      framing_.kind == BodyKind::none || (framing_.kind == BodyKind::sized && framing_.size == 0);
  const bool near = framing_.kind == BodyKind::sized && framing_.size <= kMaxSkipped &&
                    !head_.fields.contains("Expect");
  const bool again = (nothing_follows || near) && head_.minor == 1 &&
                     !head_.fields.has_word("Connection", "close") && refusal.status != 400;
  const OwnAnswer own{refusal.status, describe(refusal, head_.fields), again,
                      head_.method == "HEAD"};
  const auto told = co_await tell_guest(write_answer(own));
  c_.surroundings.record(record_);
  if (!told || !again) co_return false;
  const auto skipped = co_await skip_body();
  co_return skipped.has_value();
}

Task<void> Http1Exchange::skip_body() {
  BodyReader body(from_guest_, framing_);
  for (;;) {
    const auto piece = CO_TRY(body.take());
    if (piece && piece->empty()) co_return Result<void>();
    if (piece) continue;
    auto filled = co_await body.fill();
    CO_TRY(std::move(filled));
  }
}

Task<void> Http1Exchange::tell_guest(std::string bytes) {
  record_.bytes_in += bytes.size();
  auto written = co_await c_.guest.write(bytes);
  co_return written;
}

Task<void> Http1Exchange::reach_upstream() {
  if (c_.upstream && !(c_.upstream->reader->empty() && c_.upstream->stream->is_quiet())) {
    // Closed since the last answer, or says something that nobody asked for.
    c_.upstream.reset();
  }
  if (c_.upstream) co_return Result<void>();
  if (c_.unreachable) co_return std::unexpected(*std::exchange(c_.unreachable, std::nullopt));
  auto connected = co_await c_.connect(c_.destination);
  c_.upstream = CO_TRY(std::move(connected));
  co_return Result<void>();
}

Task<bool> Http1Exchange::send_head() {
  std::string head = write_request({head_, judgement_, framing_, upgrade_});
  auto sent = co_await c_.upstream->stream->write(head);
  ::explicit_bzero(head.data(), head.size());
  CO_TRY(std::move(sent));
  co_return true;
}

asio::awaitable<bool> Http1Exchange::forward() {
  const auto reached = co_await reach_upstream();
  if (!reached) co_return co_await fail_upstream(reached.error());
  upgrade_ = asks_upgrade(head_, framing_);
  const bool reused = std::exchange(c_.upstream->used, true);
  const auto sent = co_await send_head();
  // It was closed at this very moment: the guest sees what it would see without us, and asks again.
  if (!sent && reused) co_return false;
  if (!sent) {
    c_.upstream.reset();
    co_return co_await fail_upstream(sent.error());
  }

  const auto executor = co_await asio::this_coro::executor;
  pump_ended_ = std::make_shared<Event>(executor);
  asio::co_spawn(
      executor, pump(),
      asio::bind_cancellation_slot(
          stop_pump_.slot(), [ended = pump_ended_](const std::exception_ptr&) { ended->set(); }));
  const bool again = co_await answer();
  if (!pump_ended_->is_set()) {
    stop_pump_.emit(asio::cancellation_type::terminal);
    co_await pump_ended_->wait();
  }
  if (upstream_failed_) {
    c_.upstream.reset();
  } else {
    c_.upstream->reader->rest();
  }
  co_return again&& body_sent_;
}

asio::awaitable<void> Http1Exchange::pump() {
  // A cancelled wait is an error like others.
  co_await asio::this_coro::throw_if_cancelled(false);
  if (framing_.kind != BodyKind::none) {
    BodyReader body(from_guest_, framing_);
    BodyPath path{body, *c_.upstream->stream, framing_.kind == BodyKind::chunked, record_.bytes_out,
                  [this](Fields& trailers) { edit_request_trailers(trailers); }};
    auto failed = co_await relay_body(path, std::string());
    if (failed && failed->side == BodySide::from) {
      const auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none) co_return;
      bad_body_ = std::move(failed->error);
      c_.upstream->stream->close();
      co_return;
    }
    // A server may answer before it has read all, and close: its answer says why.
    if (failed) co_return;
  }
  body_sent_ = true;
  // Whoever no longer listens for the answer is told to the upstream by closing. What comes before
  // the answer is the next request, which waits.
  if (!from_guest_.empty()) co_return;
  const auto input = co_await c_.guest.wait_input();
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none || (input && *input)) co_return;
  if (c_.upstream) c_.upstream->stream->close();
}

void Http1Exchange::edit_request_trailers(Fields& trailers) {
  std::erase_if(trailers.list(), [this](const Field& field) {
    return !is_trailer(field.name) || is_managed(judgement_.injection, field.name);
  });
}

Task<ResponseHead> Http1Exchange::read_response() {
  StreamReader& reader = *c_.upstream->reader;
  std::size_t seen = 0;
  for (;;) {
    const auto end = CO_TRY(find_head_end(reader.view(), seen));
    if (end) {
      auto response = CO_TRY(parse_response_head(reader.view().substr(0, *end)));
      reader.consume(*end);
      co_return response;
    }
    auto filled = co_await reader.fill();
    if (CO_TRY(std::move(filled))) continue;
    co_return fail(ErrorKind::unavailable, reader.empty()
                                               ? "it closed the connection without an answer"
                                               : "it closed the connection within its answer");
  }
}

asio::awaitable<bool> Http1Exchange::answer() {
  for (unsigned interim = 0; interim < kMaxInterim; ++interim) {
    auto response = co_await read_response();
    if (!response) {
      if (bad_body_) {
        Refusal malformed = malformed_request(c_.destination, bad_body_->text());
        framing_ = {BodyKind::until_close, 0};
        const OwnAnswer own{malformed.status, describe(malformed, head_.fields), false,
                            head_.method == "HEAD"};
        record_.reason = malformed.reason;
        (void)co_await tell_guest(write_answer(own));
        co_return false;
      }
      co_return co_await fail_upstream(response.error());
    }
    scrub(judgement_.injection, response->fields);
    scrub(judgement_.injection, response->reason);
    if (response->status == 101) co_return co_await switch_protocols(*response);
    if (response->status >= 200) co_return co_await relay(*response);
    if (head_.minor == 0) continue;  // it knows no such answers (RFC 9110, 15.2)
    const auto told = co_await tell_guest(write_response({*response, {}, true, false, false}));
    if (!told) co_return false;
  }
  const Error endless{ErrorKind::unavailable, 0, "it never ends to answer 1xx"};
  co_return co_await fail_upstream(endless);
}

asio::awaitable<bool> Http1Exchange::relay(const ResponseHead& response) {
  const auto framing = framing_of(response, head_.method);
  if (!framing) co_return co_await fail_upstream(framing.error());
  const bool until_close = framing->kind == BodyKind::until_close;
  const bool upstream_stays =
      response.minor == 1 && !until_close && !response.fields.has_word("Connection", "close");
  const bool chunked = framing->kind == BodyKind::chunked && head_.minor == 1;
  const bool again = upstream_stays && head_.minor == 1 &&
                     !head_.fields.has_word("Connection", "close") &&
                     (chunked || framing->kind != BodyKind::chunked);
  BodyReader body(*c_.upstream->reader, *framing);
  BodyPath path{body, c_.guest, chunked, record_.bytes_in, [this](Fields& trailers) {
                  std::erase_if(trailers.list(),
                                [](const Field& field) { return !is_trailer(field.name); });
                  scrub(judgement_.injection, trailers);
                }};
  const auto failed =
      co_await relay_body(path, write_response({response, *framing, again, chunked, false}));
  if (failed) {
    // Cut, so that nobody takes half an answer for all of it.
    if (failed->side == BodySide::from) record_.reason = failed->error.text();
    c_.guest.close();
    co_return false;
  }
  co_return again;
}

asio::awaitable<bool> Http1Exchange::switch_protocols(const ResponseHead& response) {
  if (!upgrade_) {
    const Error unasked{ErrorKind::unavailable, 0, "it changed the protocol without being asked"};
    co_return co_await fail_upstream(unasked);
  }
  stop_pump_.emit(asio::cancellation_type::terminal);
  co_await pump_ended_->wait();
  const auto told = co_await tell_guest(write_response({response, {}, true, false, true}));
  if (!told) co_return false;
  const TunnelEnd guest{from_guest_, c_.guest, record_.bytes_out};
  const TunnelEnd upstream{*c_.upstream->reader, *c_.upstream->stream, record_.bytes_in};
  co_await tunnel(guest, upstream);
  co_return false;
}

asio::awaitable<bool> Http1Exchange::fail_upstream(const Error& error) {
  upstream_failed_ = true;  // the pump may still use it
  record_.reason = error.text();
  Refusal refusal;
  refusal.status = 502;
  refusal.host = host_of(judgement_.destination);
  refusal.reason = error.text();
  const bool again = framing_.kind == BodyKind::none && head_.minor == 1 &&
                     !head_.fields.has_word("Connection", "close");
  const OwnAnswer own{refusal.status, describe(refusal, head_.fields), again,
                      head_.method == "HEAD"};
  const auto told = co_await tell_guest(write_answer(own));
  co_return told&& again;
}

}  // namespace agentvm::egress::http
