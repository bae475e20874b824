// What a guest says first on a connection, and what it is answered to questions of DNS: a decision
// is never taken back by more bytes, and an answer is to the question.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "egress/gateway/dns_server.h"
#include "egress/gateway/first_bytes.h"

namespace {

using namespace agentvm::egress;

void look(std::string_view text) {
  const auto whole = classify(text);
  if (!whole && wanted_after(text) <= text.size()) std::abort();
  const auto part = classify(text.substr(0, text.size() / 2));
  if (part && !whole) std::abort();
  const bool certain = part && part->spoken != Spoken::tls;
  if (certain && whole->spoken != part->spoken) std::abort();
}

void answer(std::string_view text) {
  const std::string complaint = write_dns_complaint(text);
  if (!complaint.empty() && complaint.size() != 12) std::abort();
  const std::size_t half = text.size() / 2;
  const auto query = parse_dns_query(text.substr(0, half));
  if (!query) return;
  NameAnswer given;
  given.message = text.substr(half);
  for (const std::size_t most : {DnsServer::kMaxUdpAnswer, kMaxDnsMessage}) {
    const std::string message = write_name_answer(*query, given, most);
    if (message.size() > std::max(most, 12 + query->question_bytes.size())) std::abort();
    if (message.substr(0, 2) != text.substr(0, 2)) std::abort();
    if (message.substr(12, query->question_bytes.size()) != query->question_bytes) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  look(text);
  answer(text);
  return 0;
}
