#include "sandbox/store/record.h"

#include <fmt/format.h>

#include <cerrno>

#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

namespace {

constexpr int kIndent = 2;

Result<void> check_version(unsigned version, const std::string& path) {
  if (version == 1) return {};
  return fail(ErrorKind::failed_precondition,
              fmt::format("'{}' was written by a newer agentvm (version {})", path, version));
}

}  // namespace

Result<Record> load_record(const Place& place, const std::string& name) {
  TRY(check_sandbox_name(name));
  const std::string path = place.of(name) + "/sandbox.json";
  auto text = load_file(path);
  if (!text && text.error().errnum == ENOENT) {
    return fail(ErrorKind::not_found,
                fmt::format("there is no sandbox '{}' (agentvm sandbox ls lists them)", name));
  }
  if (!text) return std::unexpected(std::move(text).error());
  Record record = TRY(parse_json<Record>(*text), "'{}'", path);
  TRY(check_version(record.version, path));
  return record;
}

Result<void> store_record(const Place& place, const Record& record) {
  return store_file(place.of(record.name) + "/sandbox.json", write_json(record, kIndent) + "\n",
                    0600);
}

Result<UserPolicy> load_user_policy(const Place& place) {
  const std::string path = place.directory + "/.policy.json";
  auto text = load_file(path);
  if (!text && text.error().errnum == ENOENT) return UserPolicy{};
  if (!text) return std::unexpected(std::move(text).error());
  UserPolicy policy = TRY(parse_json<UserPolicy>(*text), "'{}'", path);
  TRY(check_version(policy.version, path));
  return policy;
}

Result<void> store_user_policy(const Place& place, const UserPolicy& policy) {
  return store_file(place.directory + "/.policy.json", write_json(policy, kIndent) + "\n", 0600);
}

}  // namespace agentvm::sandbox
