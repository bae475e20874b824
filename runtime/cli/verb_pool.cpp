#include <fmt/format.h>

#include "oci/base/json_writer.h"
#include "oci/base/try.h"
#include "runtime/cli/verbs.h"
#include "runtime/machine_config.h"
#include "runtime/pool/fill.h"
#include "runtime/templates/build.h"

namespace agentvm::runtime::cli {

namespace {

// A create may be refilling the pool at this moment.
constexpr std::chrono::minutes kPatience{10};

// Who asks for it by hand waits for the template too.
Result<void> have_template(const Config& config) {
  auto planned = TRY(plan_default_machine(config));
  const auto store = TRY(vmm::TemplateStore::open(config.templates.directory));
  const auto key = TRY(vmm::make_template_key(planned.config));
  if (store.find(key)) return {};
  auto draft = TRY(store.begin(key));
  fmt::print(stderr, "making a template of the VMs first...\n");
  TRY(build_template(config, std::move(planned.config), store, std::move(draft)),
      "make the template");
  return {};
}

Result<int> fill(const Config& config) {
  if (config.pool.size != 0 && config.templates.enabled) TRY(have_template(config));
  TRY(fill_pool(config, kPatience, [&](const PoolStep& step) {
    fmt::print("{}  waits, {} of {}, made in {:.1f} s\n", step.id, step.waiting, config.pool.size,
               static_cast<double>(step.took.count()) / 1000.0);
    std::fflush(stdout);
  }));
  return 0;
}

std::string_view describe(const ContainerRecord& record) {
  switch (effective_status(record)) {
    case Status::creating:
      return "being made";
    case Status::created:
      return "waits";
    case Status::running:
    case Status::paused:
      return "taken";
    case Status::stopped:
      break;
  }
  return "dead";
}

void print_table(const std::vector<PoolPlace>& places) {
  fmt::print("{:<26}  {:>5}  {:>9}  {:>8}  {:<10}  {}\n", "ID", "VCPUS", "MEMORY", "PID", "STATUS",
             "CONTAINER");
  for (const auto& [dir, record] : places) {
    fmt::print("{:<26}  {:>5}  {:>5} MiB  {:>8}  {:<10}  {}\n", record.id, record.vm.vcpus,
               record.vm.memory_mib, record.monitor.pid, describe(record), record.bundle);
  }
}

void print_json(const std::vector<PoolPlace>& places) {
  JsonWriter json(2);
  json.begin_array();
  for (const auto& [dir, record] : places) {
    json.begin_object().key("id").value(record.id);
    json.key("vcpus").value(std::uint64_t{record.vm.vcpus});
    json.key("memoryMib").value(record.vm.memory_mib);
    json.key("pid").value(static_cast<std::int64_t>(record.monitor.pid));
    json.key("status").value(describe(record));
    json.key("created").value(record.created);
    json.key("container").value(record.bundle);
    json.end_object();
  }
  fmt::print("{}\n", json.end_array().take());
}

Result<int> list(const Config& config, const PoolOptions& options) {
  const auto pool = TRY(StateRoot::open(config.pool.directory));
  const auto places = TRY(list_places(pool));
  if (options.format == "json") {
    print_json(places);
  } else {
    print_table(places);
  }
  return 0;
}

Result<int> drain(const Config& config) {
  fmt::print("ended {}\n", TRY(drain_pool(config)));
  return 0;
}

}  // namespace

Result<int> run_pool(const Engine& engine, const PoolOptions& options) {
  switch (options.action) {
    case PoolAction::fill:
      return fill(engine.config);
    case PoolAction::list:
      return list(engine.config, options);
    case PoolAction::drain:
      return drain(engine.config);
  }
  return 1;
}

}  // namespace agentvm::runtime::cli
