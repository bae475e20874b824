// A small bundle's config.json as values, near to what Docker writes.
#pragma once

#include <string>

#include "oci/spec.h"

namespace agentvm::runtime {

inline oci::Spec make_sample_spec() {
  using oci::NamespaceType;
  oci::Spec spec;
  spec.oci_version = "1.2.0";
  spec.root = oci::Root{.path = "rootfs", .readonly = false};
  spec.process = oci::Process{};
  spec.process->cwd = "/work";
  spec.process->args = {"/bin/true"};
  spec.mounts = {{"/proc", "proc", "proc", {}, {}, {}},
                 {"/dev", "tmpfs", "tmpfs", {"nosuid", "mode=755"}, {}, {}},
                 {"/dev/pts", "devpts", "devpts", {}, {}, {}},
                 {"/sys", "sysfs", "sysfs", {"ro"}, {}, {}}};
  spec.linux_ = oci::Linux{};
  for (const NamespaceType type : {NamespaceType::pid, NamespaceType::network, NamespaceType::mount,
                                   NamespaceType::ipc, NamespaceType::uts}) {
    spec.linux_->namespaces.push_back({type, ""});
  }
  return spec;
}

}  // namespace agentvm::runtime
