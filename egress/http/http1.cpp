#include "egress/http/http1.h"

#include <array>
#include <chrono>

#include "egress/http/deadline.h"
#include "egress/http/forward.h"
#include "egress/http/head.h"
#include "egress/http/http1_exchange.h"
#include "egress/http/judge.h"
#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

constexpr std::chrono::seconds kHead{30};   // from its first byte to its last
constexpr std::chrono::minutes kIdle{10};   // between requests
constexpr std::chrono::seconds kLinger{2};  // after an answer that ends the connection

// Reads the next request's head; nothing at the connection's end.
Task<std::optional<std::size_t>> wait_head(ServedConnection& connection, StreamReader& reader) {
  const auto executor = co_await asio::this_coro::executor;
  if (reader.empty()) {
    reader.rest();
    const Deadline idle(executor, kIdle, [&] { connection.guest.close(); });
    auto input = co_await connection.guest.wait_input();
    if (!CO_TRY(std::move(input))) co_return std::nullopt;
  }
  const Deadline slow(executor, kHead, [&] { connection.guest.close(); });
  std::size_t seen = 0;
  for (;;) {
    const auto end = CO_TRY(find_head_end(reader.view(), seen));
    if (end) co_return end;
    auto filled = co_await reader.fill();
    if (!CO_TRY(std::move(filled))) co_return std::nullopt;
  }
}

// Reads what comes for a while, so that the answer is not lost to a reset.
asio::awaitable<void> linger(ServedConnection& connection) {
  connection.guest.finish();
  const auto executor = co_await asio::this_coro::executor;
  const Deadline deadline(executor, kLinger, [&] { connection.guest.close(); });
  std::array<char, 4096> ignored;
  for (;;) {
    const auto got = co_await connection.guest.read_some(ignored);
    if (!got || *got == 0) co_return;
  }
}

asio::awaitable<void> refuse_head(ServedConnection& connection, const Error& error) {
  const Refusal refusal = malformed_request(connection.destination, error.text());
  RequestRecord record;
  record.destination = connection.destination;
  record.reason = refusal.reason;
  const OwnAnswer own{refusal.status, describe(refusal, {}), false, false};
  const std::string text = write_answer(own);
  record.bytes_in = text.size();
  (void)co_await connection.guest.write(text);
  connection.surroundings.record(record);
}

}  // namespace

asio::awaitable<void> serve_http1(ServedConnection connection) {
  StreamReader reader(connection.guest, std::move(connection.first));
  for (bool again = true; again;) {
    const auto size = co_await wait_head(connection, reader);
    if (size && !*size) break;
    // An error of the connection's is nothing to answer.
    if (!size && size.error().kind != ErrorKind::invalid_argument) break;
    auto head = size ? parse_request_head(reader.view().substr(0, **size))
                     : Result<RequestHead>(std::unexpected(size.error()));
    if (!head) {
      co_await refuse_head(connection, head.error());
      break;
    }
    reader.consume(**size);
    Http1Exchange exchange(connection, reader, *std::move(head), **size);
    again = co_await exchange.run();
    if (!again && connection.upstream) connection.upstream->stream->close();
  }
  co_await linger(connection);
  connection.guest.close();
}

}  // namespace agentvm::egress::http
