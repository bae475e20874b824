#include "runtime/egress/resolvers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMost = 8;
constexpr std::size_t kMaxBytes = std::size_t{64} << 10;
constexpr std::string_view kPlace = "/etc/resolv.conf";

bool is_address(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return true;
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return false;
  return bytes[0] != 0xfe || (bytes[1] & 0xc0) != 0x80;
}

}  // namespace

std::vector<std::string> parse_resolvers(std::string_view text) {
  std::vector<std::string> resolvers;
  for (const std::string_view line : split(text, "\n\r")) {
    const auto words = split(line, " \t");
    if (words.size() < 2 || words[0] != "nameserver" || !line.starts_with("nameserver")) continue;
    std::string address(words[1]);
    const bool known = std::ranges::find(resolvers, address) != resolvers.end();
    if (is_address(address) && !known) resolvers.push_back(std::move(address));
    if (resolvers.size() == kMost) break;
  }
  return resolvers;
}

Result<std::vector<std::string>> load_resolvers(const std::string& path) {
  if (path.empty()) return std::vector<std::string>{};
  const auto file = TRY(sys::open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY),
                        "the container's DNS servers");
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(ErrorKind::failed_precondition, fmt::format("'{}' is no regular file", path));
  }
  return parse_resolvers(TRY(sys::read_all(file.get(), kMaxBytes), "'{}'", path));
}

std::string take_resolv_conf(oci::Spec& spec, const std::string& bundle) {
  std::string source;
  for (oci::Mount& mount : spec.mounts) {
    const std::filesystem::path destination(mount.destination);
    if (destination.lexically_normal() != kPlace) continue;
    std::erase(mount.options, "rw");
    mount.options.emplace_back("ro");
    const std::filesystem::path path(mount.source);
    source = path.is_absolute() ? path.string() : bundle + "/" + mount.source;
  }
  return source;
}

}  // namespace agentvm::runtime
