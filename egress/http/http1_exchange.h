// One request over HTTP/1.1 and its answer.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <memory>
#include <optional>
#include <string>

#include "egress/http/head.h"
#include "egress/http/judge.h"
#include "egress/http/served_connection.h"
#include "egress/http/stream_reader.h"

namespace agentvm::egress::http {

// The connection and the reader outlive it.
class Http1Exchange {
 public:
  Http1Exchange(ServedConnection& connection, StreamReader& from_guest, RequestHead head,
                std::size_t head_size)
      : c_(connection), from_guest_(from_guest), head_(std::move(head)) {
    record_.bytes_out = head_size;
  }
  Http1Exchange(const Http1Exchange&) = delete;
  Http1Exchange& operator=(const Http1Exchange&) = delete;

  // Whether another request may follow.
  asio::awaitable<bool> run();

 private:
  asio::awaitable<bool> refuse(Refusal refusal);
  asio::awaitable<bool> forward();
  Task<void> reach_upstream();
  Task<bool> send_head();
  // The request's body, then whether the guest goes away. Runs beside what follows.
  asio::awaitable<void> pump();
  asio::awaitable<bool> answer();
  Task<ResponseHead> read_response();
  asio::awaitable<bool> relay(const ResponseHead& response);
  asio::awaitable<bool> switch_protocols(const ResponseHead& response);
  asio::awaitable<bool> fail_upstream(const Error& error);
  Task<void> skip_body();
  Task<void> tell_guest(std::string bytes);
  void edit_request_trailers(Fields& trailers);
  void note(const Judgement& judgement);

  ServedConnection& c_;
  StreamReader& from_guest_;
  RequestHead head_;
  Framing framing_;
  Judgement judgement_;
  RequestRecord record_;
  bool upgrade_ = false;
  bool upstream_failed_ = false;

  // The pump's.
  asio::cancellation_signal stop_pump_;
  std::shared_ptr<Event> pump_ended_;
  bool body_sent_ = false;
  std::optional<Error> bad_body_;  // the guest's fault
};

}  // namespace agentvm::egress::http
