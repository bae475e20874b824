// Where what belongs to a shim lies. All of it follows from what containerd calls every action
// with, so that `delete` finds it after any death. Two containerds on one host, or two namespaces
// of one, never share a name.
#pragma once

#include <string>
#include <string_view>

namespace agentvm::shim {

struct Names {
  std::string socket;      // "/run/containerd/s/<hash>"
  std::string state_root;  // the runtime's --root: "/run/agentvm-shim/<namespace>-<hash>"
  // "unix://" before the socket, as containerd wants it.
  [[nodiscard]] std::string address() const { return "unix://" + socket; }
  friend bool operator==(const Names&, const Names&) = default;
};

inline constexpr const char* kSocketDirectory = "/run/containerd/s";
inline constexpr const char* kStateRoots = "/run/agentvm-shim";

[[nodiscard]] Names names_for(std::string_view containerd_address, std::string_view name_space,
                              std::string_view id);

}  // namespace agentvm::shim
