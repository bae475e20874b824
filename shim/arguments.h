// The command line that containerd gives a shim (core/runtime/v2/command.go): Go's flags, then an
// action.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::shim {

enum class Action : std::uint8_t {
  start,    // start a shim and print its address
  remove,   // `delete`: clean up after a shim that died
  serve,    // no action: be the shim; its listening socket is fd 3
  verb,     // ours alone: one verb of the runtime, for a shim (verb.h)
  info,     // -info
  version,  // -v
};

struct Arguments {
  Action action = Action::serve;
  std::string name_space;
  std::string id;
  std::string address;  // containerd's socket
  std::string bundle;   // empty: the working directory
  bool debug = false;
  friend bool operator==(const Arguments&, const Arguments&) = default;
};

// Without argv[0]. invalid_argument for an unknown flag or action, for a namespace or an id that is
// no name (they become parts of paths), and for one that is missing where the action needs it.
[[nodiscard]] Result<Arguments> parse_arguments(std::span<const std::string_view> words);

}  // namespace agentvm::shim
