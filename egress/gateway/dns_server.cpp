#include "egress/gateway/dns_server.h"

#include <algorithm>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "egress/gateway/deadline.h"
#include "egress/gateway/pause.h"

namespace agentvm::egress {

namespace {

using asio::ip::tcp;
using asio::ip::udp;

constexpr std::size_t kHeader = 12;
constexpr std::uint8_t kFormatError = 1;
constexpr std::chrono::seconds kTcpPatience{10};

// Counts one while it lives.
class Counted {
 public:
  explicit Counted(std::size_t& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::size_t& count_;
};

}  // namespace

std::string write_dns_complaint(std::string_view query) {
  // An answer is answered by nobody, else two servers could go on for ever.
  if (query.size() < kHeader || (static_cast<unsigned char>(query[2]) & 0x80) != 0) return {};
  std::string message(query.substr(0, kHeader));
  message[2] = static_cast<char>((static_cast<unsigned char>(query[2]) & 0x79) | 0x80);
  message[3] = static_cast<char>(kFormatError);
  std::fill(message.begin() + 4, message.end(), '\0');
  return message;
}

std::string write_name_answer(const DnsQuery& query, const NameAnswer& answer, std::size_t most) {
  if (answer.code != kDnsNoError) return write_dns_refusal(query, answer.code);
  if (!answer.message.empty()) {
    // Ours, question included, which the guest may have spelt in other letters.
    const std::size_t head = kHeader + query.question_bytes.size();
    std::string message = write_dns_refusal(query, kDnsNoError);
    if (answer.message.size() < head || answer.message.size() > most) {
      message[2] = static_cast<char>(message[2] | 0x02);
      return message;
    }
    std::string whole = answer.message;
    std::copy_n(message.begin(), 4, whole.begin());
    std::ranges::copy(query.question_bytes, whole.begin() + kHeader);
    return whole;
  }
  std::vector<DnsAddress> addresses = answer.addresses;
  for (;;) {
    std::string message = write_dns_answer(query, addresses);
    if (message.size() <= most || addresses.empty()) return message;
    addresses.resize(addresses.size() - std::min<std::size_t>(addresses.size(), 1));
  }
}

void DnsServer::record(const DnsQuestion& question, const NameAnswer& answer) {
  DecisionRecord record;
  record.protocol = "dns";
  record.host = question.name;
  if (!answer.addresses.empty()) record.address = to_text(answer.addresses.front().address);
  record.allowed = answer.allowed;
  record.rule = answer.rule;
  record.layer = answer.layer;
  record.reason = answer.reason;
  state_.log.write(record);
}

asio::awaitable<std::string> DnsServer::answer(std::string query, std::size_t most) {
  const Counted counted(questions_);
  ++state_.counters.questions;
  const auto parsed = parse_dns_query(query);
  if (!parsed) co_return write_dns_complaint(query);
  if (questions_ > kMaxQuestions) co_return write_dns_refusal(*parsed, kDnsServerFailure);
  const NameAnswer answer = co_await names_.look_up(parsed->question);
  record(parsed->question, answer);
  co_return write_name_answer(*parsed, answer, most);
}

asio::awaitable<void> DnsServer::answer_datagram(Udp socket, std::string query,
                                                 udp::endpoint guest) {
  const std::string message = co_await answer(std::move(query), kMaxUdpAnswer);
  if (message.empty()) co_return;
  (void)co_await socket->async_send_to(asio::buffer(message), guest, use_result);
}

asio::awaitable<void> DnsServer::receive(Udp socket) {
  for (;;) {
    std::string query(kMaxQuery, '\0');
    udp::endpoint guest;
    auto [code, size] = co_await socket->async_receive_from(asio::buffer(query), guest, use_result);
    if (code == asio::error::operation_aborted) co_return;
    if (code) {
      co_await pause(kAfterFailure);
      continue;
    }
    query.resize(size);
    asio::co_spawn(socket->get_executor(), answer_datagram(socket, std::move(query), guest),
                   asio::detached);
  }
}

asio::awaitable<void> DnsServer::converse(Tcp socket) {
  const Counted counted(connections_);
  while (connections_ <= kMaxConnections) {
    std::array<unsigned char, 2> length{};
    std::string message;
    {
      const Deadline deadline(socket, kTcpPatience);
      auto [code, got] = co_await asio::async_read(*socket, asio::buffer(length), use_result);
      if (code) co_return;
      const auto size = static_cast<std::size_t>(length[0] << 8 | length[1]);
      if (size > kMaxQuery) co_return;
      message.resize(size);
      auto [rest_code, rest] =
          co_await asio::async_read(*socket, asio::buffer(message), use_result);
      if (rest_code) co_return;
    }
    message = co_await answer(std::move(message), kMaxDnsMessage);
    if (message.empty()) co_return;
    const auto size = static_cast<std::uint16_t>(message.size());
    message.insert(0, {static_cast<char>(size >> 8), static_cast<char>(size & 0xff)});
    const Deadline deadline(socket, kTcpPatience);
    auto [code, sent] = co_await asio::async_write(*socket, asio::buffer(message), use_result);
    if (code) co_return;
  }
}

asio::awaitable<void> DnsServer::accept(std::shared_ptr<tcp::acceptor> acceptor) {
  for (;;) {
    const auto socket = std::make_shared<tcp::socket>(acceptor->get_executor());
    auto [code] = co_await acceptor->async_accept(*socket, use_result);
    if (code == asio::error::operation_aborted) co_return;
    if (code) {
      co_await pause(kAfterFailure);
      continue;
    }
    asio::co_spawn(acceptor->get_executor(), converse(socket), asio::detached);
  }
}

void DnsServer::serve_udp(udp::socket socket) {
  const auto shared = std::make_shared<udp::socket>(std::move(socket));
  asio::co_spawn(shared->get_executor(), receive(shared), asio::detached);
}

void DnsServer::serve_tcp(tcp::acceptor acceptor) {
  const auto shared = std::make_shared<tcp::acceptor>(std::move(acceptor));
  asio::co_spawn(shared->get_executor(), accept(shared), asio::detached);
}

}  // namespace agentvm::egress
