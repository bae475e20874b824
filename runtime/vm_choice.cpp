// config_for(): what a bundle may choose for its own VM.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "oci/base/try.h"
#include "runtime/vm_size.h"

namespace agentvm::runtime {

namespace {

// Replaces a setting and says where it came from.
template <class Value>
void choose(Config& config, Value& setting, Value value, const char* key, std::string origin) {
  setting = std::move(value);
  config.origins[key] = std::move(origin);
}

Result<void> apply_accelerator(const std::string& word, Config& config) {
  using vmm::AcceleratorChoice;
  const std::array<std::pair<std::string_view, AcceleratorChoice>, 3> kWords{
      {{"auto", AcceleratorChoice::automatic},
       {"kvm", AcceleratorChoice::kvm},
       {"tcg", AcceleratorChoice::tcg}}};
  const auto* found = std::ranges::find(kWords, word, &decltype(kWords)::value_type::first);
  if (found == kWords.end()) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("annotation '{}': expected auto, kvm or tcg, found '{}'",
                            kAcceleratorAnnotation, word));
  }
  choose(config, config.vm.accelerator, found->second, "vm.accelerator", "annotation");
  return {};
}

void append_parameters(const std::string& parameters, Config& config, std::string origin) {
  if (parameters.empty()) return;
  std::string all = config.vm.kernel_parameters;
  all.append(all.empty() ? "" : " ").append(parameters);
  choose(config, config.vm.kernel_parameters, std::move(all), "vm.kernel_parameters",
         std::move(origin));
}

void apply_vm_section(const oci::Vm& vm, Config& config) {
  const std::string origin = "vm section of the bundle";
  if (!vm.hypervisor_path.empty()) {
    choose(config, config.vm.qemu, vm.hypervisor_path, "vm.qemu", origin);
  }
  if (!vm.kernel_path.empty()) {
    choose(config, config.vm.kernel, vm.kernel_path, "vm.kernel", origin);
  }
  if (!vm.kernel_initrd.empty()) {
    choose(config, config.vm.initramfs, vm.kernel_initrd, "vm.initramfs", origin);
  }
  for (const std::string& parameter : vm.kernel_parameters) {
    append_parameters(parameter, config, origin);
  }
}

}  // namespace

Result<Config> config_for(const oci::Spec& spec, const Config& config) {
  Config chosen = config;
  if (spec.vm) apply_vm_section(*spec.vm, chosen);
  if (const auto word = spec.annotations.find(kAcceleratorAnnotation);
      word != spec.annotations.end()) {
    TRY(apply_accelerator(word->second, chosen));
  }
  if (const auto text = spec.annotations.find(kKernelParametersAnnotation);
      text != spec.annotations.end()) {
    append_parameters(text->second, chosen, "annotation");
  }
  // These words become one line of a guest's boot loader: no byte of it may be another line's.
  if (std::ranges::any_of(chosen.vm.kernel_parameters, [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
      })) {
    return fail(ErrorKind::invalid_argument, "kernel parameters must not hold control characters");
  }
  return chosen;
}

}  // namespace agentvm::runtime
