#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

#include "oci/base/json_writer.h"
#include "oci/base/try.h"
#include "runtime/cli/verbs.h"
#include "runtime/machine_config.h"
#include "runtime/templates/build.h"

namespace agentvm::runtime::cli {

namespace {

constexpr double kMib = 1024.0 * 1024.0;

Result<vmm::MachineConfig> asked_machine(const Config& config, const TemplateOptions& options) {
  const HostSize host = TRY(host_size());
  VmSize size = TRY(vm_size(oci::Spec{}, config, host));
  size.vcpus = options.vcpus.value_or(size.vcpus);
  size.memory_mib = options.memory_mib.value_or(size.memory_mib);
  reserve_growth(config, host, size);
  return TRY(plan_machine(config, size)).config;
}

void print_made(const std::string& name, const vmm::TemplateManifest& made) {
  fmt::print("{}  {} vcpus, {} MiB, {:.1f} MiB to copy, made in {:.1f} s\n", name, made.vcpus,
             made.memory_mib, static_cast<double>(made.memory_used_bytes) / kMib,
             made.build_ms / 1000.0);
}

Result<int> create(const Config& config, const vmm::TemplateStore& store,
                   const TemplateOptions& options) {
  auto machine = TRY(asked_machine(config, options));
  const auto key = TRY(vmm::make_template_key(machine));
  if (!options.force) {
    if (const auto found = store.find(key)) {
      fmt::print("{}  is there already; --force makes it anew\n", key.name());
      return 0;
    }
  }
  auto draft = TRY(store.begin(key));
  fmt::print(stderr, "making a template of {} vcpus and {} MiB...\n", machine.vcpus,
             machine.memory_mib);
  const auto made =
      TRY(build_template(config, std::move(machine), store, std::move(draft)), "make the template");
  print_made(key.name(), made);
  return 0;
}

void print_table(const std::vector<vmm::TemplateEntry>& entries) {
  fmt::print("{:<16}  {:>5}  {:>9}  {:>9}  {:<19}  {}\n", "NAME", "VCPUS", "MEMORY", "TO COPY",
             "LAST USED", "STATUS");
  for (const vmm::TemplateEntry& entry : entries) {
    const vmm::TemplateManifest made = entry.manifest.value_or(vmm::TemplateManifest{});
    fmt::print("{:<16}  {:>5}  {:>5} MiB  {:>5.1f} MiB  {:%Y-%m-%d %H:%M:%S}  {}\n", entry.name,
               made.vcpus, made.memory_mib, static_cast<double>(made.memory_used_bytes) / kMib,
               fmt::localtime(entry.last_used), entry.manifest ? "good" : entry.problem);
  }
}

void print_json(const std::vector<vmm::TemplateEntry>& entries) {
  JsonWriter json(2);
  json.begin_array();
  for (const vmm::TemplateEntry& entry : entries) {
    json.begin_object().key("name").value(entry.name);
    json.key("lastUsed").value(static_cast<std::int64_t>(entry.last_used));
    if (entry.manifest) {
      json.key("vcpus").value(std::uint64_t{entry.manifest->vcpus});
      json.key("memoryMib").value(entry.manifest->memory_mib);
      json.key("memoryUsedBytes").value(entry.manifest->memory_used_bytes);
    } else {
      json.key("problem").value(entry.problem);
    }
    json.end_object();
  }
  fmt::print("{}\n", json.end_array().take());
}

Result<int> list(const vmm::TemplateStore& store, const TemplateOptions& options) {
  const auto entries = TRY(store.list());
  if (options.format == "json") {
    print_json(entries);
  } else {
    print_table(entries);
  }
  return 0;
}

Result<int> remove(const vmm::TemplateStore& store, const std::vector<std::string>& names) {
  for (const std::string& name : names) TRY(store.remove(name));
  return 0;
}

Result<int> prune(const Config& config, const vmm::TemplateStore& store, bool all) {
  for (const std::string& name : TRY(store.prune(all ? 0 : config.templates.keep))) {
    fmt::print("removed {}\n", name);
  }
  return 0;
}

Result<int> verify(const vmm::TemplateStore& store, std::vector<std::string> names) {
  if (names.empty()) {
    for (const vmm::TemplateEntry& entry : TRY(store.list())) names.push_back(entry.name);
  }
  bool good = true;
  for (const std::string& name : names) {
    const auto verified = store.verify(name);
    fmt::print("{}  {}\n", name, verified ? "good" : verified.error().text());
    good = good && verified.has_value();
  }
  return good ? 0 : 1;
}

}  // namespace

Result<int> run_template(const Engine& engine, const TemplateOptions& options) {
  const Config& config = engine.config;
  const auto store = TRY(vmm::TemplateStore::open(config.templates.directory));
  switch (options.action) {
    case TemplateAction::create:
      return create(config, store, options);
    case TemplateAction::list:
      return list(store, options);
    case TemplateAction::remove:
      return remove(store, options.names);
    case TemplateAction::prune:
      return prune(config, store, options.all);
    case TemplateAction::verify:
      return verify(store, options.names);
  }
  return 1;
}

}  // namespace agentvm::runtime::cli
