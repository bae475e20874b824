// `start` as each containerd speaks it. Pure.
//   1.6        standard input holds the options; the answer is the address
//   1.7 – 2.2  the same, with MAX_SHIM_VERSION in the environment; the answer may be JSON
//   2.3 –      standard input holds BootstrapParams, the answer is BootstrapResult (protobuf)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace agentvm::shim {

inline constexpr std::size_t kMaxBootstrap = std::size_t{10} << 20;

struct Bootstrap {
  enum class Dialect : std::uint8_t { address, json, protobuf };
  Dialect dialect = Dialect::address;
  std::string ttrpc_address;  // of protobuf; the others have it in TTRPC_ADDRESS
  bool debug = false;
  friend bool operator==(const Bootstrap&, const Bootstrap&) = default;
};

// Options read as BootstrapParams have other words where those have namespace and id.
[[nodiscard]] Bootstrap read_bootstrap(std::string_view input, std::string_view name_space,
                                       std::string_view id, bool has_max_version);

// What goes to standard output.
[[nodiscard]] std::string bootstrap_answer(Bootstrap::Dialect dialect, const std::string& address);

}  // namespace agentvm::shim
