#include "vmm/vsock/muxer.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace agentvm::vmm::vsock {

namespace {

// Turns of links (64 KiB each at most) before the event loop gets to look around.
constexpr int kTurnsPerRun = 32;

}  // namespace

Muxer::Muxer(boost::asio::io_context& io, std::uint64_t guest_cid, MuxerOwner& owner)
    : io_(io), guest_cid_(guest_cid), owner_(owner) {}

void Muxer::start(const Rings& rings) {
  rings_ = rings;
  schedule();
}

void Muxer::stop() {
  rings_ = {};
}

void Muxer::schedule() {
  if (std::exchange(is_scheduled_, true)) return;
  boost::asio::post(io_, [this] { run(); });
}

void Muxer::run() {
  is_scheduled_ = false;
  if (rings_.rx == nullptr) return;
  const Turn guest = serve_guest();
  if (guest == Turn::broken) return stop_for("transmit", *rings_.tx);
  const Turn clients = serve_clients();
  if (clients == Turn::broken) return stop_for("receive", *rings_.rx);
  const bool unblocked = tx_is_blocked_ && resets_.size() < kMaxResets;
  if (unblocked) tx_is_blocked_ = false;
  if (unblocked || guest == Turn::unfinished || clients == Turn::unfinished) schedule();
}

void Muxer::stop_for(std::string_view ring, const Ring& broken) {
  const std::string_view fault = broken.queue.fault();
  stop();
  forget_guest();
  owner_.on_broken_ring(ring, fault);
}

void Muxer::forget_guest() {
  resets_.clear();
  for (const LinkRef& link : table_.all()) {
    if (link->is_forgotten || !link->protocol.request_sent()) continue;
    guest_closed(*link);
  }
}

bool Muxer::connect(UniqueFd client, std::uint32_t guest_port) {
  if (!make_room()) return false;
  auto link = std::make_shared<Link>(
      io_.get_executor(), std::move(client),
      Connection::make_outgoing(table_.free_ports(guest_port), guest_cid_, table_.next_window()),
      static_cast<LinkOwner&>(*this));
  table_.insert(link);
  ++waiting_;
  link->await_hangup();
  queue(*link);
  return true;
}

// A link that only waits for the guest's RST may go when another needs its place.
bool Muxer::make_room() {
  if (table_.is_full()) {
    if (Link* const lingering = table_.find_lingering()) reset(*lingering);
  }
  return !table_.is_full();
}

void Muxer::queue(Link& link) {
  if (link.is_removed || link.is_forgotten) return;
  if (!std::exchange(link.is_queued, true)) queue_.push_back(link.shared_from_this());
  schedule();
}

Muxer::Turn Muxer::serve_clients() {
  Ring& ring = *rings_.rx;
  ring.queue.ignore_kicks();
  for (int turns = 0; turns < kTurnsPerRun; ++turns) {
    if (resets_.empty() && queue_.empty()) {
      ring.publish();
      return Turn::idle;
    }
    switch (serve_next()) {
      case RxWriter::Outcome::done:
        // The guest may work on these bytes while we fetch the next.
        ring.publish();
        break;
      case RxWriter::Outcome::no_input:
      case RxWriter::Outcome::no_credit:
      case RxWriter::Outcome::ended:
        break;
      case RxWriter::Outcome::no_buffer:
        ring.publish();
        if (ring.queue.expect_kick()) break;
        return Turn::idle;
      case RxWriter::Outcome::broken:
        return Turn::broken;
    }
  }
  ring.publish();
  return Turn::unfinished;
}

RxWriter::Outcome Muxer::serve_next() {
  if (!resets_.empty()) {
    const auto outcome = writer_.send(rings_, resets_.front());
    if (outcome == RxWriter::Outcome::done) resets_.pop_front();
    return outcome == RxWriter::Outcome::done ? RxWriter::Outcome::no_input : outcome;
  }
  const LinkRef link = queue_.front();
  if (!link->is_removed && !link->is_forgotten) {
    const auto outcome = serve(*link);
    // Its place in the queue is kept: what it has to say was not said.
    if (outcome == RxWriter::Outcome::no_buffer || outcome == RxWriter::Outcome::broken) {
      return outcome;
    }
    queue_.pop_front();
    link->is_queued = false;
    if (outcome == RxWriter::Outcome::done || link->protocol.has_control()) queue(*link);
    return outcome;
  }
  queue_.pop_front();
  link->is_queued = false;
  return RxWriter::Outcome::no_input;
}

RxWriter::Outcome Muxer::serve(Link& link) {
  while (link.protocol.has_control()) {
    const bool was_waiting = !link.protocol.request_sent();
    const auto outcome = writer_.send_due(rings_, link.protocol);
    if (outcome != RxWriter::Outcome::done) return outcome;
    if (was_waiting) {
      --waiting_;
      owner_.on_fewer_waiting();
    }
  }
  if (!link.may_have_input() || !link.protocol.is_open()) return RxWriter::Outcome::no_input;
  const auto outcome = writer_.move(rings_, link);
  switch (outcome) {
    case RxWriter::Outcome::no_input:
      link.await_readable();
      break;
    case RxWriter::Outcome::ended:
      link.protocol.client_finished();
      if (link.hung_up()) {
        client_gone(link);
      } else {
        link.await_hangup();
      }
      break;
    case RxWriter::Outcome::done:
    case RxWriter::Outcome::no_buffer:
    case RxWriter::Outcome::no_credit:
    case RxWriter::Outcome::broken:
      break;
  }
  return outcome;
}

void Muxer::on_readable(Link& link) {
  queue(link);
}

void Muxer::on_hangup(Link& link) {
  if (link.is_removed) return;
  // An open client that left may have left bytes behind: the reading comes to its end by itself.
  if (link.protocol.is_open() && !link.input_ended()) return;
  client_gone(link);
}

void Muxer::client_gone(Link& link) {
  if (link.is_forgotten || !link.protocol.request_sent()) return remove(link);
  const bool guest_is_done = link.protocol.guest_shutdown() == kShutdownBoth;
  if (!link.protocol.is_open() || guest_is_done) return reset(link);
  link.close();
  link.protocol.client_gone();
  queue(link);
}

void Muxer::reset(Link& link) {
  if (link.protocol.request_sent()) resets_.push_back(link.protocol.reset_header());
  remove(link);
  schedule();
}

void Muxer::remove(Link& link) {
  const LinkRef keep = link.shared_from_this();
  link.close();
  if (std::exchange(link.is_removed, true)) return;
  table_.remove(link);
  if (!link.protocol.request_sent()) {
    --waiting_;
    owner_.on_fewer_waiting();
  }
}

}  // namespace agentvm::vmm::vsock
