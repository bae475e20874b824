#include "guest-agent/launch/refusals.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "guest-agent/launch/sources.h"
#include "oci/base/try.h"
#include "oci/spec_words.h"

namespace agentvm::guest {

namespace {

std::unexpected<Error> refuse(std::string text) {
  return fail(ErrorKind::invalid_argument, std::move(text));
}

std::string_view name_of(oci::NamespaceType type) {
  for (const auto& [word, value] : oci::json_words(type)) {
    if (value == type) return word;
  }
  return "?";
}

Result<void> check_namespaces(const oci::Spec& spec) {
  for (const oci::Namespace& ns : spec.linux_->namespaces) {
    // The network one is the host's business: it is where the VM's interfaces come from.
    if (ns.path.empty() || ns.type == oci::NamespaceType::network) continue;
    return refuse(fmt::format(
        "linux.namespaces: the {} namespace has the path '{}', which is the host's: a container in "
        "a VM cannot join it",
        name_of(ns.type), ns.path));
  }
  if (has_namespace(spec, oci::NamespaceType::user) &&
      (spec.linux_->uid_mappings.empty() || spec.linux_->gid_mappings.empty())) {
    return refuse("linux.namespaces: a user namespace needs linux.uidMappings and gidMappings");
  }
  const bool mapped = !spec.linux_->uid_mappings.empty() || !spec.linux_->gid_mappings.empty();
  if (mapped && !has_namespace(spec, oci::NamespaceType::user)) {
    return refuse("linux.uidMappings: without a user namespace there is nothing to map");
  }
  if (!spec.linux_->time_offsets.empty() && !has_namespace(spec, oci::NamespaceType::time)) {
    return refuse("linux.timeOffsets: needs a time namespace");
  }
  return {};
}

}  // namespace

Result<void> check_process(const oci::Process& process) {
  if (process.args.empty()) return refuse("process.args: there is nothing to execute");
  if (!process.apparmor_profile.empty() && process.apparmor_profile != "unconfined") {
    return refuse(
        fmt::format("process.apparmorProfile: '{}' cannot be applied, the guest's kernel runs no "
                    "AppArmor; the VM confines the container (use \"unconfined\" or leave it out)",
                    process.apparmor_profile));
  }
  if (!process.selinux_label.empty()) {
    return refuse(
        fmt::format("process.selinuxLabel: '{}' cannot be applied, the guest's kernel runs no "
                    "SELinux; the VM confines the container (use label=disable or leave it out)",
                    process.selinux_label));
  }
  return {};
}

Result<void> check_container(const oci::Spec& spec) {
  if (!spec.root || spec.root->path.empty()) return refuse("root: a container needs one");
  if (!spec.process) return refuse("process: missing");
  if (!spec.linux_->mount_label.empty()) {
    return refuse(
        fmt::format("linux.mountLabel: '{}' cannot be applied, the guest's kernel runs no SELinux",
                    spec.linux_->mount_label));
  }
  TRY(check_namespaces(spec));
  return check_process(*spec.process);
}

}  // namespace agentvm::guest
