#include "runtime/install/install.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMaxFile = std::size_t{4} << 20;
constexpr mode_t kMode = 0644;

std::string usual_place(EngineKind engine) {
  switch (engine) {
    case EngineKind::docker:
      return "/etc/docker/daemon.json";
    case EngineKind::containerd:
      return "/etc/containerd/config.toml";
    case EngineKind::podman:
      return "/etc/containers/containers.conf.d/agentvm.conf";
  }
  return {};
}

Result<std::optional<std::string>> read_if_there(const std::string& path) {
  auto text = sys::read_file(path, kMaxFile);
  if (text) return std::optional(*std::move(text));
  if (text.error().errnum == ENOENT) return std::nullopt;
  return std::unexpected(std::move(text).error());
}

Result<std::optional<std::string>> changed(const InstallOrder& order,
                                           const std::optional<std::string>& before) {
  const std::string text = before.value_or("");
  if (order.remove && !before) return std::nullopt;
  switch (order.engine) {
    case EngineKind::docker:
      return order.remove ? TRY(remove_from_docker(text, order.entry.name))
                          : TRY(add_to_docker(text, order.entry));
    case EngineKind::containerd:
      return order.remove ? TRY(remove_from_containerd(text, order.entry.name))
                          : TRY(add_to_containerd(text, order.entry));
    case EngineKind::podman:
      if (order.remove) return std::nullopt;
      return podman_file(order.entry);
  }
  return before;
}

std::string next_step(const InstallOrder& order) {
  const std::string& name = order.entry.name;
  switch (order.engine) {
    case EngineKind::docker:
      return order.remove ? "systemctl reload docker"
                          : "systemctl reload docker; then: docker run --runtime " + name + " …";
    case EngineKind::containerd:
      return order.remove ? "systemctl restart containerd"
                          : "systemctl restart containerd; then: a RuntimeClass with handler '" +
                                name + "', or ctr run --runtime io.containerd.agentvm.v2 …";
    case EngineKind::podman:
      return order.remove ? "" : "podman --runtime " + name + " run …";
  }
  return {};
}

Result<void> write_whole(const std::string& path, const std::string& text, mode_t mode) {
  const std::filesystem::path file(path);
  std::error_code code;
  std::filesystem::create_directories(file.parent_path(), code);
  if (code) return fail_errno(code.value(), "make its directory");
  const auto directory =
      TRY(sys::open_at(AT_FDCWD, file.parent_path().string(), O_RDONLY | O_DIRECTORY));
  return sys::replace_file_at(directory.get(), file.filename().string(), text, mode);
}

}  // namespace

std::string backup_of(const std::string& path) {
  return path + ".before-agentvm";
}

Result<InstallPlan> plan_install(const InstallOrder& order) {
  InstallPlan plan;
  plan.path = order.file.empty() ? usual_place(order.engine) : order.file;
  plan.before = TRY(read_if_there(plan.path));
  plan.after = TRY(changed(order, plan.before), "'{}' is left as it is", plan.path);
  plan.next = next_step(order);
  return plan;
}

Result<void> carry_out(const InstallPlan& plan) {
  if (!plan.changes()) return {};
  struct stat status{};
  const bool there = ::stat(plan.path.c_str(), &status) == 0;
  const mode_t mode = there ? status.st_mode & 07777 : kMode;
  if (plan.before) TRY(write_whole(backup_of(plan.path), *plan.before, mode), "keep a backup");
  if (plan.after) return write_whole(plan.path, *plan.after, mode);
  if (::unlink(plan.path.c_str()) != 0) return fail_errno(errno, "remove '" + plan.path + "'");
  return {};
}

}  // namespace agentvm::runtime
