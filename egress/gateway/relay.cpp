#include "egress/gateway/relay.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>

#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

using asio::ip::tcp;

// After so much without waiting the others have their turn.
constexpr std::uint64_t kTurn = 1 << 20;

// -1 with errno EAGAIN: not now.
ssize_t move_bytes(int from, int to, std::size_t most) {
  for (;;) {
    const ssize_t moved =
        ::splice(from, nullptr, to, nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved >= 0 || errno != EINTR) return moved;
  }
}

class Pump {
 public:
  Pump(tcp::socket& from, tcp::socket& to, PipePool& pipes, Traffic& traffic, std::uint64_t& count)
      : from_(from), to_(to), pipes_(pipes), traffic_(traffic), count_(count) {}

  // True: `from_` has ended, and `to_` was told. False: one of them has failed.
  asio::awaitable<bool> run() {
    for (std::uint64_t turn = 0;;) {
      auto pipe = pipes_.take();
      if (!pipe) co_return false;
      const ssize_t got = move_bytes(from_.native_handle(), pipe->write.get(), PipePool::kBytes);
      if (got <= 0) {
        const int error = errno;
        pipes_.give_back(std::move(*pipe));
        if (got == 0) co_return end();
        if (error != EAGAIN) co_return false;
        auto [code] = co_await from_.async_wait(tcp::socket::wait_read, use_result);
        if (code) co_return false;
        turn = 0;
        continue;
      }
      const bool put = co_await empty(*pipe, static_cast<std::size_t>(got));
      if (!put) co_return false;
      pipes_.give_back(std::move(*pipe));
      turn += static_cast<std::uint64_t>(got);
      if (turn >= kTurn) {
        turn = 0;
        co_await asio::post(asio::use_awaitable);
      }
      if (!from_.is_open()) co_return false;
    }
  }

 private:
  bool end() {
    boost::system::error_code code;
    (void)to_.shutdown(tcp::socket::shutdown_send, code);
    traffic_.half_closed = true;
    traffic_.active = std::chrono::steady_clock::now();
    return !code;
  }

  asio::awaitable<bool> empty(const Pipe& pipe, std::size_t left) {
    while (left > 0) {
      if (!to_.is_open()) co_return false;
      const ssize_t put = move_bytes(pipe.read.get(), to_.native_handle(), left);
      if (put > 0) {
        left -= static_cast<std::size_t>(put);
        count_ += static_cast<std::uint64_t>(put);
        traffic_.active = std::chrono::steady_clock::now();
        continue;
      }
      if (put == 0 || errno != EAGAIN) co_return false;
      auto [code] = co_await to_.async_wait(tcp::socket::wait_write, use_result);
      if (code) co_return false;
    }
    co_return true;
  }

  tcp::socket& from_;
  tcp::socket& to_;
  PipePool& pipes_;
  Traffic& traffic_;
  std::uint64_t& count_;
};

asio::awaitable<void> pump(tcp::socket& from, tcp::socket& to, PipePool& pipes, Traffic& traffic,
                           std::uint64_t& count) {
  Pump one_way(from, to, pipes, traffic, count);
  const bool ended = co_await one_way.run();
  if (ended) co_return;
  reset(from);
  reset(to);
}

}  // namespace

Result<Pipe> PipePool::take() {
  if (!idle_.empty()) {
    Pipe pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno(errno, "pipe2");
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // Users who are not root may have only so much in pipes; then it stays as small as it is.
  (void)::fcntl(pipe.write.get(), F_SETPIPE_SZ, kBytes);
  return pipe;
}

void PipePool::give_back(Pipe pipe) {
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(pipe));
}

asio::awaitable<void> relay(tcp::socket& first, tcp::socket& second, PipePool& pipes,
                            Traffic& traffic) {
  const auto executor = co_await asio::this_coro::executor;
  boost::system::error_code code;
  for (tcp::socket* socket : {&first, &second}) {
    (void)socket->native_non_blocking(true, code);
    (void)socket->set_option(tcp::no_delay(true), code);
  }
  Event back(executor);
  asio::co_spawn(executor, pump(second, first, pipes, traffic, traffic.to_first),
                 [&back](const std::exception_ptr&) { back.set(); });
  co_await pump(first, second, pipes, traffic, traffic.to_second);
  co_await back.wait();
  (void)first.close(code);
  (void)second.close(code);
}

void reset(tcp::socket& socket) {
  boost::system::error_code code;
  (void)socket.set_option(asio::socket_base::linger(true, 0), code);
  (void)socket.close(code);
}

}  // namespace agentvm::egress
