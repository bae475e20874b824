#include "rpc/stream_relay.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "oci/base/try.h"
#include "rpc/relay_end.h"
#include "rpc/relay_waiter.h"

namespace agentvm::rpc {

namespace {

constexpr std::size_t kChunkBytes = std::size_t{256} << 10;
// So many moves without a wait, then the other coroutines of the loop get their turn.
constexpr int kMovesPerTurn = 16;

// No relay keeps bytes in it across a wait, so that one is enough; its pages are touched on use.
std::span<char> shared_chunk() {
  thread_local const std::unique_ptr<char[]> chunk(new char[kChunkBytes]);
  return {chunk.get(), kChunkBytes};
}

enum class Step : std::uint8_t { moved, source_blocked, sink_blocked, ended };

class Relay {
 public:
  Relay(RelayEnd source, RelayEnd sink)
      : source_(std::move(source)),
        sink_(std::move(sink)),
        splicing_((source_.is_pipe() || sink_.is_pipe()) && source_.can_splice() &&
                  sink_.can_splice()) {}

  // Moves what can be moved without waiting.
  Result<Step> step() {
    if (!rest_.empty()) return write_rest();
    return splicing_ ? splice_some() : copy_some();
  }

  [[nodiscard]] std::uint64_t moved() const { return moved_; }
  [[nodiscard]] RelayEnd& sink() { return sink_; }

 private:
  Result<Step> splice_some() {
    const WithoutSigpipe guard;
    const ssize_t n = ::splice(source_.fd(), nullptr, sink_.fd(), nullptr, kChunkBytes,
                               SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n > 0) {
      moved_ += static_cast<std::uint64_t>(n);
      return Step::moved;
    }
    if (n == 0) return Step::ended;
    if (errno == EINTR) return Step::moved;
    if (errno == EAGAIN) {
      // EAGAIN does not say of whom.
      if (!source_.ready()) return Step::source_blocked;
      if (!sink_.ready()) return Step::sink_blocked;
      return copy_some();
    }
    if (errno == EINVAL) {  // not possible between these two, as for a file with O_APPEND
      splicing_ = false;
      return copy_some();
    }
    return splice_error(errno);
  }

  // Whose it is: a socket tells its error once, so asking again by read or write loses it.
  [[nodiscard]] std::unexpected<Error> splice_error(int errnum) const {
    const bool of_sink = errnum == EPIPE || !sink_.is_pipe();
    return of_sink ? sink_.failed(errnum) : source_.failed(errnum);
  }

  Result<Step> copy_some() {
    const std::span<char> chunk = shared_chunk();
    const auto n = TRY(source_.read_some(chunk));
    if (!n) return Step::source_blocked;
    if (*n == 0) return Step::ended;
    const std::string_view bytes(chunk.data(), *n);
    const auto written = TRY(sink_.write_some(bytes));
    moved_ += written.value_or(0);
    rest_ = bytes.substr(written.value_or(0));
    return Step::moved;
  }

  Result<Step> write_rest() {
    const auto written = TRY(sink_.write_some(std::string_view(rest_).substr(rest_written_)));
    if (!written) return Step::sink_blocked;
    moved_ += *written;
    rest_written_ += *written;
    if (rest_written_ == rest_.size()) {
      rest_ = std::string();
      rest_written_ = 0;
    }
    return Step::moved;
  }

  RelayEnd source_;
  RelayEnd sink_;
  bool splicing_;
  std::string rest_;  // read, and not yet written from rest_written_ on
  std::size_t rest_written_ = 0;
  std::uint64_t moved_ = 0;
};

Task<void> let_others_run() {
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    co_return fail_errno(ECANCELED, "copy a stream");
  }
  co_return Result<void>{};
}

// One step, and the wait it asks for; false at the end.
Task<bool> advance(Relay& relay, RelayWaiter& waiter, bool watch_sink) {
  const Step step = CO_TRY(relay.step());
  switch (step) {
    case Step::moved:
      break;
    case Step::ended:
      co_return false;
    case Step::source_blocked: {
      auto waited = co_await waiter.wait_source(watch_sink);
      const bool sink_broke = CO_TRY(std::move(waited));
      if (sink_broke) co_return relay.sink().broken();
      break;
    }
    case Step::sink_blocked: {
      auto waited = co_await waiter.wait_sink();
      CO_TRY(std::move(waited));
      break;
    }
  }
  co_return true;
}

}  // namespace

Task<std::uint64_t> relay(int from_fd, int to_fd, RelayOptions options) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto source = CO_TRY(RelayEnd::create(from_fd, RelaySide::source, options.from_name));
  auto sink = CO_TRY(RelayEnd::create(to_fd, RelaySide::sink, options.to_name));
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  auto waiter = CO_TRY(RelayWaiter::create(executor, source.fd(), sink.fd()));
  Relay relay(std::move(source), std::move(sink));
  for (int turn = 1;; ++turn) {
    auto advanced = co_await advance(relay, waiter, options.watch_sink);
    const bool more = CO_TRY(std::move(advanced));
    if (!more) break;
    if (turn % kMovesPerTurn == 0) {
      auto still_wanted = co_await let_others_run();
      CO_TRY(std::move(still_wanted));
    }
  }
  if (options.half_close) relay.sink().end_sending();
  co_return relay.moved();
}

}  // namespace agentvm::rpc
