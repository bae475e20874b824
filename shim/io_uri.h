// Where containerd wants a stream of a process to go: a path (a FIFO), or a URI. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::shim {

struct IoUri {
  enum class Kind : std::uint8_t {
    none,    // empty: /dev/null
    fifo,    // "/path", "fifo:///path"
    file,    // "file:///path": appended to, made with its directories
    binary,  // "binary:///path?key=value": a program that is given the streams (containerd,
             // logging)
  };
  Kind kind = Kind::none;
  std::string path;                // absolute
  std::vector<std::string> words;  // of binary: key, value, key, value
  friend bool operator==(const IoUri&, const IoUri&) = default;
};

// invalid_argument for another scheme, a path that is not absolute, a wrong escape.
[[nodiscard]] Result<IoUri> parse_io_uri(std::string_view text);

}  // namespace agentvm::shim
