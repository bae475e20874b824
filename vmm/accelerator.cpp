#include "vmm/accelerator.h"

#include <fmt/format.h>

namespace agentvm::vmm {

Result<AcceleratorVerdict> decide_accelerator(AcceleratorChoice choice, const KvmProbe& probe) {
  switch (choice) {
    case AcceleratorChoice::tcg:
      return AcceleratorVerdict{Accelerator::tcg, "asked for by the configuration"};
    case AcceleratorChoice::kvm:
      if (probe.usable) return AcceleratorVerdict{Accelerator::kvm, probe.reason};
      return fail(ErrorKind::unavailable,
                  fmt::format("KVM is demanded (vm.accelerator = \"kvm\") and cannot be used: {}",
                              probe.reason));
    case AcceleratorChoice::automatic:
      if (probe.usable) return AcceleratorVerdict{Accelerator::kvm, probe.reason};
      return AcceleratorVerdict{Accelerator::tcg, "KVM cannot be used: " + probe.reason};
  }
  return fail(ErrorKind::internal, "unknown accelerator choice");
}

std::string_view name_of(Accelerator accelerator) {
  switch (accelerator) {
    case Accelerator::kvm:
      return "kvm";
    case Accelerator::tcg:
      return "tcg";
  }
  return "";
}

Result<AcceleratorChoice> parse_accelerator_choice(std::string_view word) {
  if (word == "auto") return AcceleratorChoice::automatic;
  if (word == "kvm") return AcceleratorChoice::kvm;
  if (word == "tcg") return AcceleratorChoice::tcg;
  return fail(ErrorKind::invalid_argument,
              fmt::format("accelerator must be auto, kvm or tcg, found '{}'", word));
}

}  // namespace agentvm::vmm
