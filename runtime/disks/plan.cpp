#include "runtime/disks/plan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <string_view>

#include "oci/base/remove_tree.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/guest_contract.h"
#include "runtime/disks/guest_docker.h"
#include "runtime/disks/image.h"

namespace agentvm::runtime {

namespace {

namespace fs = std::filesystem;

// A directory of Docker's and what it is on the disk.
struct DockerDirectory {
  const char* path;
  const char* on_disk;
};
constexpr std::array kDockerDirectories{DockerDirectory{"/var/lib/docker", "docker"},
                                        DockerDirectory{"/var/lib/containerd", "containerd"}};

const std::string* annotation(const oci::Spec& spec, const char* name) {
  const auto found = spec.annotations.find(name);
  return found == spec.annotations.end() ? nullptr : &found->second;
}

// Whether the annotation is there and says `yes`; it may say `no`.
Result<std::optional<bool>> choice(const oci::Spec& spec, const char* name, std::string_view yes,
                                   std::string_view no) {
  const std::string* word = annotation(spec, name);
  if (word == nullptr) return std::nullopt;
  if (*word == yes || *word == no) return *word == yes;
  return fail(ErrorKind::invalid_argument,
              fmt::format("annotation '{}': expected {} or {}, found '{}'", name, yes, no, *word));
}

Result<std::uint64_t> size_of(const oci::Spec& spec, const Config& config) {
  const std::string* text = annotation(spec, kDiskSizeAnnotation);
  if (text == nullptr) return config.disk.size_mib;
  std::uint64_t size = 0;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), size);
  if (code != std::errc() || end != text->data() + text->size() || size < kMinDiskMib ||
      size > kMaxDiskMib) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("annotation '{}': expected {} to {} MiB, found '{}'",
                            kDiskSizeAnnotation, kMinDiskMib, kMaxDiskMib, *text));
  }
  return size;
}

// A container's Docker: whether it has one, and who starts it.
struct Docker {
  bool on_disk = false;  // its directories are
  std::string program;   // what the agent starts; "": nothing, the container does it itself
};

Result<Docker> find_docker(const oci::Spec& spec, const Config& config, const std::string& rootfs) {
  const auto asked = TRY(choice(spec, kDockerAnnotation, "true", "false"));
  const bool look = config.docker.inside == DockerInside::found || is_privileged(spec);
  if (asked ? !*asked : !look) return Docker{};
  std::string program = TRY(find_dockerd(rootfs, spec), "look for a dockerd");
  if (program.empty() && asked) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("annotation '{}': the image has no dockerd in its PATH: install "
                            "Docker's engine in it, or leave the annotation out",
                            kDockerAnnotation));
  }
  if (program.empty()) return Docker{};
  // A privileged container is one that runs its own: what it starts must find the place free.
  const bool ours = asked || config.docker.inside == DockerInside::found;
  return Docker{true, ours ? std::move(program) : ""};
}

Result<void> share_modules(const Config& config, bool needed, SharePlan& share) {
  const std::string path = (fs::path(config.vm.kernel).parent_path() / "kernel-modules").string();
  if (::access((path + "/agentvm.dep").c_str(), R_OK) == 0) {
    share.sources.push_back({"modules", path, true, false, true, Propagation::private_});
    return {};
  }
  if (!needed) return {};
  return fail(ErrorKind::failed_precondition,
              fmt::format("the kernel modules that Docker needs are missing beside the guest's "
                          "kernel ('{}'): run agentvm-kernel",
                          path));
}

std::string clean(const std::string& path) {
  std::string text = fs::path("/" + path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

// A volume that holds nothing but an image, if anything, becomes the disk; another one stays what
// it is: it is somebody's data.
Result<bool> can_hold_disk(const std::string& directory) {
  const auto fd = sys::open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
  if (!fd) return false;
  const auto names = TRY(list_names(fd->get()));
  return std::ranges::all_of(names, [](const std::string& name) { return name == kDiskFile; });
}

// Takes the container's mount at `path` away if the disk can stand in for it. False: it cannot.
Result<bool> free_place(const std::string& path, SharePlan& share, DiskPlan& disk) {
  auto& mounts = share.guest_spec.mounts;
  const auto mount = std::ranges::find_if(
      mounts, [&](const oci::Mount& entry) { return clean(entry.destination) == path; });
  if (mount == mounts.end()) return true;
  const auto source = std::ranges::find_if(share.sources, [&](const SharedSource& shared) {
    return mount->source == fmt::format("{}/{}", kGuestShared, shared.name);
  });
  const bool writable = source != share.sources.end() && source->directory && !source->read_only;
  if (!writable || !TRY(can_hold_disk(source->source), "volume '{}'", source->source)) {
    share.notes.push_back(fmt::format(
        "'{}' stays what is mounted there: it is not empty, or no volume; Docker's layers may not "
        "work on it",
        path));
    return false;
  }
  if (disk.volume.empty()) disk.volume = source->source;
  share.sources.erase(source);
  mounts.erase(mount);
  return true;
}

Result<void> put_docker_on_disk(SharePlan& share, DiskPlan& disk) {
  for (const DockerDirectory& directory : kDockerDirectories) {
    if (!TRY(free_place(directory.path, share, disk))) continue;
    // First of all: what else is mounted below stays visible.
    share.guest_spec.mounts.insert(share.guest_spec.mounts.begin(),
                                   {directory.path,
                                    "bind",
                                    fmt::format("{}/{}", kGuestDisk, directory.on_disk),
                                    {"rbind", "rw"},
                                    {},
                                    {}});
    if (share.sources.front().read_only) share.mount_points.push_back({directory.path, true});
  }
  return {};
}

}  // namespace

bool is_free_annotation(std::string_view name) {
  return name == kDockerAnnotation || name == kRootAnnotation;
}

Result<std::optional<DiskPlan>> plan_disk(const oci::Spec& spec, const Config& config,
                                          SharePlan& share) {
  DiskPlan disk;
  disk.size_mib = TRY(size_of(spec, config));
  const auto overlay = TRY(choice(spec, kRootAnnotation, "overlay", "shared"));
  disk.holds_root = overlay.value_or(false);
  const Docker docker = TRY(find_docker(spec, config, share.sources.front().source));
  disk.docker = !docker.program.empty();
  if (docker.on_disk || may_use_modules(spec)) TRY(share_modules(config, docker.on_disk, share));
  if (docker.on_disk) TRY(put_docker_on_disk(share, disk));
  if (docker.on_disk) share.guest_spec.annotations[rpc::kDockerAnnotation] = docker.program;
  if (disk.docker) make_room_for_docker(share.guest_spec);
  if (disk.holds_root) share.guest_spec.root->path = kGuestRoot;
  const bool wanted = docker.on_disk || disk.holds_root;
  if (!wanted && annotation(spec, kDiskSizeAnnotation) != nullptr) {
    share.notes.push_back(fmt::format("annotation '{}' has no effect: the container has no disk",
                                      kDiskSizeAnnotation));
  }
  return wanted ? std::optional(disk) : std::nullopt;
}

}  // namespace agentvm::runtime
