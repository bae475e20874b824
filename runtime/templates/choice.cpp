#include "runtime/templates/choice.h"

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "runtime/templates/build.h"

namespace agentvm::runtime {

namespace {

// After a failure the next container does not try again for as long.
constexpr std::chrono::minutes kRetryAfter{10};

// Either way this VM boots.
Result<void> have_one_built(const Config& config, const vmm::MachineConfig& machine,
                            const vmm::TemplateStore& store, const vmm::TemplateKey& key) {
  if (!config.templates.automatic) return {};
  if (const std::string why = store.recent_failure(key, kRetryAfter); !why.empty()) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("building it failed (`agentvm template create` tries again): {}", why));
  }
  auto draft = store.begin(key);
  if (!draft && draft.error().kind == ErrorKind::already_exists) {
    log::debug("the VM boots: its template is being built");
    return {};
  }
  if (!draft) return std::unexpected(std::move(draft).error());
  TRY(build_in_background(config, machine, store, *std::move(draft)));
  log::info("the VM boots: there is no template of it yet, one is being built for the next");
  return {};
}

Result<std::optional<vmm::OpenTemplate>> find_template(const Config& config,
                                                       const vmm::MachineConfig& machine) {
  const auto key = TRY(vmm::make_template_key(machine));
  const auto store = TRY(vmm::TemplateStore::open(config.templates.directory));
  auto found = store.find(key);
  if (found) return std::optional(*std::move(found));
  if (found.error().kind != ErrorKind::not_found) {
    log::warning("the VM boots: {}", found.error().text());
  }
  TRY(have_one_built(config, machine, store, key));
  return std::nullopt;
}

}  // namespace

std::optional<vmm::OpenTemplate> choose_template(const Config& config,
                                                 const vmm::MachineConfig& machine) {
  if (!config.templates.enabled) return std::nullopt;
  auto found = find_template(config, machine);
  if (found) return *std::move(found);
  log::warning("the VM boots, there is no template of it: {}", found.error().text());
  return std::nullopt;
}

void reject_template(const Config& config, const std::string& key, const std::string& reason) {
  const auto store = vmm::TemplateStore::open(config.templates.directory);
  if (!store) return;
  const vmm::TemplateKey rejected{key};
  auto draft = store->begin(rejected);
  if (!draft) return;
  (void)store->remove(rejected.name());
  store->discard(*std::move(draft), reason);
}

}  // namespace agentvm::runtime
