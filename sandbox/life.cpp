#include "sandbox/life.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "egress/settings.h"
#include "oci/base/rollback.h"
#include "oci/base/try.h"
#include "sandbox/engine/container_request.h"
#include "sandbox/store/authority.h"
#include "sandbox/store/control.h"
#include "sandbox/store/gateway_file.h"
#include "sandbox/store/session_file.h"

namespace agentvm::sandbox {

namespace {

// The guest's user is another one than ours: what it reads is open to all.
constexpr mode_t kOpenFile = 0644;
constexpr mode_t kOpenDirectory = 0755;

// Whose numbers the guest's user gets.
Result<SessionFacts> facts_of(const Record& record, const Authority& authority) {
  SessionFacts facts;
  if (!record.workspaces.empty()) {
    const std::string& path = record.workspaces.front().path;
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) {
      return fail_errno(errno, fmt::format("workspace '{}'", path));
    }
    facts.uid = status.st_uid;
    facts.gid = status.st_gid;
  }
  facts.ca_hash = TRY(subject_hash(authority.certificate));
  return facts;
}

Result<void> store_guest_files(const World& world, const std::string& name,
                               const std::string& session, const std::string& notice,
                               const std::string& certificate) {
  const std::string guest = world.place.guest_of(name);
  TRY(make_directory(guest, kOpenDirectory));
  const std::string script = TRY(load_file(world.data + "/guest/enter.sh"), "agentvm's own files");
  TRY(store_file(guest + "/enter.sh", script, kOpenDirectory));
  TRY(store_file(guest + "/session", session, kOpenFile));
  TRY(store_file(guest + "/notice.md", notice, kOpenFile));
  return store_file(guest + "/ca.pem", certificate, kOpenFile);
}

// What would be refused at the next start is refused now, before it is stored.
Result<void> check_gateway(const std::string& settings, const std::string& values) {
  auto parsed = TRY(egress::parse_values(values));
  (void)TRY(
      egress::parse_settings(settings, std::make_shared<const egress::Values>(std::move(parsed))));
  return {};
}

// With the lock held.
Result<Resolved> write_all_files(const World& world, const Record& record, bool tells,
                                 bool* told = nullptr) {
  const Place& place = world.place;
  const Agent agent = TRY(world.catalog.agent(record.agent));
  const Preset preset = TRY(world.catalog.preset(record.preset));
  const UserPolicy user = TRY(load_user_policy(place));
  const Authority authority = TRY(load_authority(place, record.name));
  Resolved resolved = TRY(resolve(place, world.catalog, agent, record.name));
  const auto layers = rule_layers(record, preset, agent, user);
  const std::string settings =
      gateway_json(record, preset.allows, layers, resolved.credentials, authority);
  const std::string values = values_json(resolved.values);
  TRY(check_gateway(settings, values), "the policy of sandbox '{}'", record.name);
  TRY(store_values(place, record.name, resolved.values));
  TRY(store_file(place.of(record.name) + "/gateway.json", settings, 0600));
  TRY(store_file(place.of(record.name) + "/machine.json", machine_json(record), 0600));
  const SessionFacts facts = TRY(facts_of(record, authority));
  TRY(store_guest_files(
      world, record.name, session_script(record, agent, resolved.credentials, facts),
      notice_text(record, preset.allows, layers, resolved.credentials), authority.certificate));
  if (!tells) return resolved;
  const auto answer = TRY(push_update(place, record.name, settings, values),
                          "tell the gateway of sandbox '{}'", record.name);
  if (told != nullptr) *told = answer.has_value();
  return resolved;
}

Result<std::string> create_container(const World& world, const Docker& docker,
                                     const Record& record) {
  const std::string request =
      TRY(container_request(record, world.place.guest_of(record.name), docker.version()));
  auto id = docker.create(record.name, request);
  if (id) return id;
  Error error = std::move(id).error();
  if (error.message.find("untime") != std::string::npos) {
    error.message += fmt::format(
        ": Docker does not know the runtime '{}'; run `agentvm install docker`, then `systemctl "
        "reload docker`",
        record.runtime);
  } else if (error.kind == ErrorKind::already_exists) {
    error.message = fmt::format(
        "Docker has a container '{}' that is no sandbox: choose another with --name", record.name);
  }
  return std::unexpected(std::move(error));
}

}  // namespace

Result<Resolved> refresh(const World& world, const Record& record) {
  const StoreLock lock = TRY(StoreLock::take(world.place));
  return write_all_files(world, record, true);
}

Result<unsigned> refresh_all(const World& world) {
  const StoreLock lock = TRY(StoreLock::take(world.place));
  unsigned gateways = 0;
  Result<unsigned> outcome = gateways;
  for (const std::string& name : TRY(sandbox_names(world.place))) {
    const auto record = load_record(world.place, name);
    if (!record && record.error().kind == ErrorKind::not_found) continue;  // being made just now
    bool told = false;
    auto done = record ? write_all_files(world, *record, true, &told)
                       : Result<Resolved>(std::unexpected(record.error()));
    if (told) ++gateways;
    if (done) continue;
    outcome = std::unexpected(outcome ? std::move(done).error()
                                      : std::move(outcome).error().also(done.error()));
  }
  if (outcome) outcome = gateways;
  return outcome;
}

Result<void> make_sandbox(const World& world, const Docker& docker, Record& record) {
  TRY(check_sandbox_name(record.name));
  const StoreLock lock = TRY(StoreLock::take(world.place));
  if (is_there(world.place.of(record.name) + "/sandbox.json")) {
    return fail(ErrorKind::already_exists,
                fmt::format("there is a sandbox '{}' already", record.name));
  }
  Rollback undo;
  TRY(make_directory(world.place.of(record.name), 0700));
  undo.push([&] { (void)remove_stored(world.place, record.name); });
  // The container's mounts must be there.
  TRY(make_directory(world.place.guest_of(record.name), kOpenDirectory));
  record.container = TRY(create_container(world, docker, record));
  undo.push([&] { (void)docker.remove(record.container, true); });
  (void)TRY(write_all_files(world, record, false));
  TRY(store_record(world.place, record));
  undo.release();
  return {};
}

Result<void> remake_container(const World& world, const Docker& docker, Record& record) {
  const StoreLock lock = TRY(StoreLock::take(world.place));
  auto removed = docker.remove(record.container, true);
  if (!removed && removed.error().kind != ErrorKind::not_found) return removed;
  record.container = TRY(create_container(world, docker, record));
  Rollback undo;
  undo.push([&] { (void)docker.remove(record.container, true); });
  (void)TRY(write_all_files(world, record, false));
  TRY(store_record(world.place, record));
  undo.release();
  return {};
}

Result<void> remove_sandbox(const World& world, const Docker& docker, const Record& record) {
  auto removed = docker.remove(record.container, true);
  if (!removed && removed.error().kind != ErrorKind::not_found) return removed;
  const StoreLock lock = TRY(StoreLock::take(world.place));
  return remove_stored(world.place, record.name);
}

void tell_missing(const Resolved& resolved) {
  for (const std::string& warning : resolved.warnings) {
    fmt::print(stderr, "agentvm sandbox: {}\n", warning);
  }
  for (const std::string& name : resolved.missing) {
    fmt::print(
        stderr,
        "agentvm sandbox: no value for '{0}' is known, its requests will be refused: set the "
        "environment variable, or run `agentvm sandbox secret set {0}`\n",
        name);
  }
}

}  // namespace agentvm::sandbox
