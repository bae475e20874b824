#include "runtime/egress/binding.h"

#include "oci/base/try.h"
#include "runtime/disks/plan.h"
#include "runtime/egress/marker.h"
#include "runtime/egress/resolvers.h"
#include "runtime/egress/settings.h"

namespace agentvm::runtime {

namespace {

// An annotation of the bundle still counts: it may give the container less.
void equip(const SandboxMachine& machine, oci::Spec& spec, Config& config) {
  if (machine.docker && *machine.docker) config.docker.inside = DockerInside::found;
  if (machine.docker && !*machine.docker) spec.annotations[kDockerAnnotation] = "false";
  if (machine.disk_mib) config.disk.size_mib = *machine.disk_mib;
}

}  // namespace

Result<std::optional<SandboxBinding>> bind_to_sandbox(oci::Spec& spec, const std::string& bundle,
                                                      const std::string& container,
                                                      Config& config) {
  std::string name = TRY(find_sandbox_name(spec));
  if (name.empty()) return std::nullopt;
  // Opened again at start, when it counts; refused here before a VM is made for nothing.
  (void)TRY(open_sandbox_files(config.sandbox, name, container));
  (void)TRY(find_gateway(config));
  equip(TRY(load_sandbox_machine(config.sandbox, name, container)), spec, config);
  return SandboxBinding{std::move(name), take_resolv_conf(spec, bundle)};
}

Result<void> refuse_sandbox_in_pod(const oci::Spec& spec) {
  const std::string name = TRY(find_sandbox_name(spec));
  if (name.empty()) return {};
  return fail(ErrorKind::failed_precondition,
              fmt::format("it names agent sandbox '{}', and the network of a pod is bound to no "
                          "policy: give the sandbox a container that is in no pod",
                          name));
}

}  // namespace agentvm::runtime
