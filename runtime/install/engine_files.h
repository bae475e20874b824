// The configuration files of engines with agentvm as a runtime in them, and without: text in, text
// out. What else is in them stays; a file that cannot be read, or not be changed without harm, is
// invalid_argument and left to its owner.
#pragma once

#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::runtime {

struct RuntimeEntry {
  std::string name;         // "agentvm"
  std::string program;      // absolute path of agentvm
  std::string config_path;  // of a configuration that is not the default one; else ""
};

// daemon.json: "runtimes" (dockerd(8)). Members keep their order, the text gets an indent of 4.
[[nodiscard]] Result<std::string> add_to_docker(std::string_view file, const RuntimeEntry& entry);
[[nodiscard]] Result<std::string> remove_from_docker(std::string_view file,
                                                     const std::string& name);

// containerd's config.toml, versions 1 to 3: a runtime of the CRI plugin, in a block of lines at the
// end that remove_from_containerd() finds again.
[[nodiscard]] Result<std::string> add_to_containerd(std::string_view file,
                                                    const RuntimeEntry& entry);
[[nodiscard]] Result<std::string> remove_from_containerd(std::string_view file,
                                                         const std::string& name);

// A file of our own in containers.conf.d (containers.conf(5)).
[[nodiscard]] std::string podman_file(const RuntimeEntry& entry);

}  // namespace agentvm::runtime
