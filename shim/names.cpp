#include "shim/names.h"

#include <fmt/format.h>

#include <cstdint>

namespace agentvm::shim {

namespace {

__extension__ using Wide = unsigned __int128;

// FNV-1a (draft-eastlake-fnv), 128 bits: names come from containerd, which is root, so what is
// wanted is that two differ, not that nobody could make them collide.
Wide hash(std::string_view text) {
  constexpr Wide kPrime = (Wide{1} << 88) + 0x13b;
  Wide value = (Wide{0x6c62272e07bb0142} << 64) + 0x62b821756295c58d;
  for (const char byte : text) {
    value ^= static_cast<unsigned char>(byte);
    value *= kPrime;
  }
  return value;
}

}  // namespace

Names names_for(std::string_view containerd_address, std::string_view name_space,
                std::string_view id) {
  // A '/' is in neither a namespace nor an id.
  const Wide whole = hash(fmt::format("{}/{}/{}", containerd_address, name_space, id));
  const auto daemon = static_cast<std::uint32_t>(hash(containerd_address));
  return {fmt::format("{}/{:016x}{:016x}", kSocketDirectory,
                      static_cast<std::uint64_t>(whole >> 64), static_cast<std::uint64_t>(whole)),
          fmt::format("{}/{}-{:08x}", kStateRoots, name_space, daemon)};
}

}  // namespace agentvm::shim
