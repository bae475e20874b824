// DNS messages, questions and answers: what is said to a question that parses, parses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "egress/dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace agentvm::egress;
  const std::string_view message(reinterpret_cast<const char*>(data), size);
  const auto answer = parse_dns_answer(message);
  const auto query = parse_dns_query(message);
  if (!query) return 0;
  const auto refusal = parse_dns_answer(write_dns_refusal(*query, kDnsNoSuchName));
  if (!refusal || refusal->question != query->question) std::abort();
  return 0;
}
