#include "oci/container_id.h"

#include <fmt/format.h>

#include <string>

namespace agentvm::oci {

namespace {

constexpr std::string_view kAllowed =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_+-.";

// The id as an error shows it: short, and no byte of it can bend the line it is printed on.
std::string printable(std::string_view id) {
  constexpr std::size_t kMost = 64;
  std::string out;
  for (const char c : id.substr(0, kMost)) {
    const bool plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\';
    out += plain ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return id.size() > kMost ? out + "…" : out;
}

}  // namespace

Result<void> check_container_id(std::string_view id) {
  const bool fine = !id.empty() && id.size() <= kLongestContainerId && id != "." && id != ".." &&
                    id.find_first_not_of(kAllowed) == id.npos;
  if (fine) return {};
  return fail(ErrorKind::invalid_argument,
              fmt::format("invalid container id format: \"{}\"", printable(id)));
}

}  // namespace agentvm::oci
