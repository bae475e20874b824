// The closed lists of words of the specification: what the parser accepts and what the features
// document announces. Sorted as the specification or the kernel header has them.
#pragma once

#include <span>
#include <string_view>

#include "oci/base/json_fields.h"
#include "oci/spec.h"

namespace agentvm::oci {

using Words = std::span<const std::string_view>;

[[nodiscard]] std::span<const JsonWord<NamespaceType>> json_words(NamespaceType);

[[nodiscard]] Words capability_names();  // capabilities(7), in the order of their numbers
[[nodiscard]] Words rlimit_names();      // getrlimit(2)
[[nodiscard]] Words hook_names();
[[nodiscard]] Words rootfs_propagations();
[[nodiscard]] Words scheduler_policies();
[[nodiscard]] Words scheduler_flags();
[[nodiscard]] Words io_priority_classes();
[[nodiscard]] Words personality_domains();
[[nodiscard]] Words device_types();
[[nodiscard]] Words device_rule_types();
[[nodiscard]] Words seccomp_actions();
[[nodiscard]] Words seccomp_operators();
[[nodiscard]] Words seccomp_archs();
[[nodiscard]] Words seccomp_flags();
[[nodiscard]] Words image_formats();

[[nodiscard]] bool is_word(Words words, std::string_view text);

}  // namespace agentvm::oci
