#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "oci/base/json_writer.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/default_spec.h"
#include "oci/features.h"
#include "oci/spec_writer.h"
#include "runtime/cli/verbs.h"
#include "runtime/cli/version.h"
#include "runtime/host_check.h"

namespace agentvm::runtime::cli {

namespace {

std::string check_json(const std::vector<CheckItem>& items) {
  JsonWriter json(2);
  json.begin_array();
  for (const CheckItem& item : items) {
    json.begin_object();
    json.key("name").value(item.name);
    json.key("verdict").value(name_of(item.verdict));
    json.key("finding").value(item.finding);
    json.key("remedy").value(item.remedy);
    json.end_object();
  }
  json.end_array();
  return json.take();
}

std::string check_text(const std::vector<CheckItem>& items) {
  std::string out;
  for (const CheckItem& item : items) {
    out += fmt::format("{:<6} {:<12} {}\n", name_of(item.verdict), item.name, item.finding);
    if (!item.remedy.empty()) out += fmt::format("{:<6} {:<12} → {}\n", "", "", item.remedy);
  }
  return out;
}

}  // namespace

Result<int> run_spec(const Engine& /*engine*/, const SpecOptions& options) {
  if (options.rootless) {
    return fail(ErrorKind::invalid_argument,
                "--rootless: agentvm needs root on the host; the container is confined by its VM");
  }
  auto bundle = TRY(sys::open_at(AT_FDCWD, options.bundle, O_RDONLY | O_DIRECTORY), "bundle");
  auto file = sys::open_at(bundle.get(), "config.json", O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (!file && file.error().errnum == EEXIST) {
    return fail(ErrorKind::already_exists, "File config.json exists. Remove it first");
  }
  const UniqueFd fd = TRY(std::move(file));
  TRY(sys::write_all(fd.get(), oci::write_spec(oci::default_spec(), 4) + "\n"));
  return 0;
}

Result<int> run_features(const Engine& /*engine*/, const FeaturesOptions& /*options*/) {
  oci::FeaturesInput input;
  input.version = version();
  input.commit = commit();
  input.seccomp = true;
  input.seccomp_version = seccomp_version();
  input.systemd_cgroups = true;
  fmt::print("{}\n", oci::write_features(input, 2));
  return 0;
}

Result<int> run_check(const Engine& engine, const CheckOptions& options) {
  const auto items = check_host(engine.config);
  fmt::print("{}", options.json ? check_json(items) + "\n" : check_text(items));
  const bool failed = std::ranges::any_of(
      items, [](const CheckItem& item) { return item.verdict == CheckVerdict::failed; });
  return failed ? 1 : 0;
}

Result<int> run_config(const Engine& engine, const ConfigOptions& options) {
  fmt::print("{}", options.defaults ? make_shipped_config() : describe_config(engine.config));
  return 0;
}

}  // namespace agentvm::runtime::cli
