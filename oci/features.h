// What this runtime can do, as the document that `features` prints (runtime-spec features.md and
// features-linux.md). Docker and containerd read it at their start, for the mount options above
// all.
#pragma once

#include <map>
#include <string>

namespace agentvm::oci {

// What depends on the build.
struct FeaturesInput {
  std::string version = {};          // agentvm's, goes into an annotation
  std::string commit = {};           // of the source; none when empty
  bool seccomp = false;              // the guest agent is built with libseccomp
  std::string seccomp_version = {};  // "2.5.4"; none when empty
  bool systemd_cgroups = false;
  std::map<std::string, std::string> annotations = {};  // further ones
};

// Announces only what is honoured: no SCMP_ACT_NOTIFY, for the descriptor that it hands to an agent
// on the host cannot leave the VM; no AppArmor, SELinux and Intel RDT in the guest. indent 0: one
// line.
[[nodiscard]] std::string write_features(const FeaturesInput& input, int indent = 0);

}  // namespace agentvm::oci
