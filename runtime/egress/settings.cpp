#include "runtime/egress/settings.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "oci/base/json_reader.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/disks/plan.h"
#include "runtime/egress/marker.h"

namespace agentvm::runtime {

namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kMaxMachineBytes = std::size_t{64} << 10;

std::unexpected<Error> refuse(std::string why) {
  return fail(ErrorKind::failed_precondition, std::move(why));
}

// Nothing when there is none. Never waits: a FIFO is no regular file. `forbidden`: to everybody.
Result<UniqueFd> open_private(const std::string& path, mode_t forbidden) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!file && (errno == ENOENT || errno == ENOTDIR)) return file;
  if (!file) return refuse(fmt::format("'{}' cannot be read: errno {}", path, errno));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail_errno(errno, fmt::format("stat '{}'", path));
  if (!S_ISREG(status.st_mode)) return refuse(fmt::format("'{}' is no regular file", path));
  if ((status.st_mode & forbidden) != 0) {
    return refuse(fmt::format("'{}' is open to everybody (chmod o-rwx)", path));
  }
  return file;
}

// Who may rename things in it decides what the files in it say.
Result<void> check_directory(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || (status.st_mode & S_IWOTH) == 0) return {};
  return refuse(fmt::format("'{}' may be written by everybody (chmod o-w)", path));
}

std::string file_of(const std::string& directory, const std::string& name, const char* file) {
  return fmt::format("{}/{}/{}", directory, name, file);
}

Result<void> check_container(const std::string& theirs, const std::string& container) {
  if (theirs == container) return {};
  return refuse(
      fmt::format("it is container '{}', not this one ('{}'): no container gets the policy of "
                  "another by naming it; leave {} out",
                  theirs, container, kSandboxVariable));
}

Result<void> check_version(std::uint32_t version) {
  if (version == kVersion) return {};
  return refuse(fmt::format("its settings are of version {}, and this agentvm reads version {}",
                            version, kVersion));
}

Result<void> check_head(const SettingsHead& head, const std::string& name,
                        const std::string& container) {
  TRY(check_version(head.version));
  if (head.sandbox != name) {
    return refuse(fmt::format("its settings are those of sandbox '{}'", head.sandbox));
  }
  return check_container(head.container, container);
}

Result<SandboxFiles> open_files(const SandboxConfig& config, const std::string& name,
                                const std::string& container) {
  const std::string path = file_of(config.directory, name, "gateway.json");
  TRY(check_directory(config.directory));
  TRY(check_directory(config.run_directory));
  SandboxFiles files;
  files.settings = TRY(open_private(path, S_IWOTH));
  if (!files.settings) {
    return refuse(
        fmt::format("there is none of that name on this host ('{}' is missing): make it "
                    "with 'agentvm sandbox create', or leave {} out",
                    path, kSandboxVariable));
  }
  const std::string text = TRY(sys::read_all(files.settings.get(), kMaxSettingsBytes), "{}", path);
  const SettingsHead head = TRY(parse_settings_head(text), "{}", path);
  TRY(check_head(head, name, container));
  if (::lseek(files.settings.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "seek");
  const std::string values = file_of(config.run_directory, name, "values.json");
  files.values = TRY(open_private(values, S_IRWXO));
  return files;
}

Result<SandboxMachine> load_machine(const SandboxConfig& config, const std::string& name,
                                    const std::string& container) {
  const std::string path = file_of(config.directory, name, "machine.json");
  const auto file = TRY(open_private(path, S_IWOTH));
  if (!file) return SandboxMachine{};
  const std::string text = TRY(sys::read_all(file.get(), kMaxMachineBytes), "{}", path);
  auto machine = TRY(parse_sandbox_machine(text), "{}", path);
  TRY(check_version(machine.version));
  TRY(check_container(machine.container, container));
  return machine;
}

Error about(const std::string& name, Error error) {
  return std::move(error).wrap(fmt::format("agent sandbox '{}'", name));
}

std::string_view is_disk_size(std::uint64_t mib) {
  return mib < kMinDiskMib || mib > kMaxDiskMib ? "is no size of a disk" : "";
}

}  // namespace

void json_fields(auto& io, Like<SettingsHead> auto& head) {
  io.required("version", head.version);
  io.required("sandbox", head.sandbox);
  io.required("container", head.container);
}

void json_fields(auto& io, Like<SandboxMachine> auto& machine) {
  io.required("version", machine.version);
  io.required("container", machine.container);
  io.optional("docker", machine.docker);
  io.optional("disk_mib", machine.disk_mib, is_disk_size);
}

Result<SettingsHead> parse_settings_head(std::string_view json) {
  return parse_json<SettingsHead>(json, nullptr, {.bytes = kMaxSettingsBytes});
}

Result<SandboxMachine> parse_sandbox_machine(std::string_view json) {
  return parse_json<SandboxMachine>(json, nullptr, {.bytes = kMaxMachineBytes});
}

Result<SandboxFiles> open_sandbox_files(const SandboxConfig& config, const std::string& name,
                                        const std::string& container) {
  auto files = open_files(config, name, container);
  if (!files) return std::unexpected(about(name, std::move(files).error()));
  return files;
}

Result<SandboxMachine> load_sandbox_machine(const SandboxConfig& config, const std::string& name,
                                            const std::string& container) {
  auto machine = load_machine(config, name, container);
  if (!machine) return std::unexpected(about(name, std::move(machine).error()));
  return machine;
}

}  // namespace agentvm::runtime
