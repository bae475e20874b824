// Rules and request targets: a rule that parses describes itself, and decides about any path.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "egress/path_glob.h"
#include "egress/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace agentvm::egress;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = text.find('\n');
  if (line == std::string_view::npos) return 0;
  const std::string_view rest = text.substr(line + 1);
  const std::size_t next = rest.find('\n');
  const std::string_view path = rest.substr(0, next);
  const auto rule = parse_rule(true, text.substr(0, line), "GET", path);
  if (!rule) return 0;
  if (rule->text.empty()) std::abort();
  if (next == std::string_view::npos) return 0;
  const auto plain = plain_path(rest.substr(next + 1));
  if (plain && plain->find("/../") != std::string::npos) std::abort();
  const auto policy = Policy::create({*rule}, false);
  if (!policy) std::abort();
  const Peer peer{rule->target.name, {}, 443};
  (void)policy->decide_request(peer, "GET", rest.substr(next + 1));
  return 0;
}
