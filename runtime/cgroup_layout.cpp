#include "runtime/cgroup_layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/mount_table.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMaxProcFile = std::size_t{4} << 20;
constexpr const char* kDefaultParent = "/agentvm";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// The controllers of every v1 hierarchy: "4:memory:/x", "9:name=systemd:/".
std::vector<std::string_view> known_controllers(std::string_view self_cgroup) {
  std::vector<std::string_view> known;
  for (const std::string_view line : split(self_cgroup, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 3 || fields[1].empty()) continue;
    for (const std::string_view name : split(fields[1], ',')) known.push_back(name);
  }
  return known;
}

std::string clean(const std::string& path) {
  std::string cleaned;
  for (const std::string_view part : split(path, '/')) {
    if (!part.empty() && part != ".") cleaned.append("/").append(part);
  }
  return cleaned;
}

std::unexpected<Error> wrong_path(const std::string& path, std::string_view what) {
  return fail(ErrorKind::invalid_argument, fmt::format("linux.cgroupsPath '{}' {}", path, what));
}

bool has_parent_part(const std::string& path) {
  return std::ranges::any_of(split(path, '/'), [](auto part) { return part == ".."; });
}

// "user-1000.slice" lies in "user.slice" (systemd.slice(5)).
Result<std::string> spell_out_slice(const std::string& slice, const std::string& cgroups_path) {
  constexpr std::string_view kSuffix = ".slice";
  if (slice == "-.slice") return std::string();
  const std::string_view stem =
      std::string_view(slice).substr(0, slice.size() - std::min(slice.size(), kSuffix.size()));
  if (!slice.ends_with(kSuffix) || stem.empty() || slice.find('/') != std::string::npos ||
      stem.front() == '-' || stem.back() == '-' || stem.find("--") != std::string_view::npos) {
    return wrong_path(cgroups_path, fmt::format("names no slice: '{}'", slice));
  }
  std::string path;
  std::string prefix;
  for (const std::string_view part : split(stem, '-')) {
    prefix.append(prefix.empty() ? "" : "-").append(part);
    path.append("/").append(prefix).append(kSuffix);
  }
  return path;
}

}  // namespace

std::vector<CgroupHierarchy> parse_cgroup_hierarchies(std::string_view mountinfo,
                                                      std::string_view self_cgroup) {
  const auto known = known_controllers(self_cgroup);
  std::vector<CgroupHierarchy> hierarchies;
  for (const std::string_view line : split(mountinfo, '\n')) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto fields = split(line.substr(0, dash), ' ');
    const auto of_fs = split(line.substr(dash + 3), ' ');
    if (fields.size() < 5 || of_fs.size() < 3) continue;
    CgroupHierarchy found{
        .mount_point = unescape_mount_path(fields[4]), .v2 = false, .controllers = {}};
    if (of_fs[0] == "cgroup2") {
      found.v2 = true;
    } else if (of_fs[0] == "cgroup") {
      for (const std::string_view option : split(of_fs[2], ',')) {
        if (std::ranges::find(known, option) != known.end()) found.controllers.emplace_back(option);
      }
      if (found.controllers.empty()) continue;
    } else {
      continue;
    }
    const bool seen = std::ranges::any_of(hierarchies, [&](const CgroupHierarchy& other) {
      return other.v2 == found.v2 && other.controllers == found.controllers;
    });
    if (!seen) hierarchies.push_back(std::move(found));
  }
  return hierarchies;
}

Result<std::vector<CgroupHierarchy>> find_cgroup_hierarchies() {
  const std::string mountinfo = TRY(sys::read_file("/proc/self/mountinfo", kMaxProcFile));
  const std::string self_cgroup = TRY(sys::read_file("/proc/self/cgroup", kMaxProcFile));
  auto hierarchies = parse_cgroup_hierarchies(mountinfo, self_cgroup);
  if (hierarchies.empty()) {
    return fail(ErrorKind::unavailable,
                "no cgroup hierarchy is mounted on this host; mount cgroup2 on /sys/fs/cgroup, or "
                "set cgroup.enabled = false");
  }
  for (CgroupHierarchy& hierarchy : hierarchies) {
    if (!hierarchy.v2) continue;
    const auto names = sys::read_file(hierarchy.mount_point + "/cgroup.controllers", 4096);
    if (!names) continue;
    for (const std::string_view name : split(names->substr(0, names->find('\n')), ' ')) {
      if (!name.empty()) hierarchy.controllers.emplace_back(name);
    }
  }
  return hierarchies;
}

Result<std::string> resolve_cgroups_path(const std::string& cgroups_path,
                                         const std::string& container_id) {
  if (has_parent_part(cgroups_path)) return wrong_path(cgroups_path, "has a '..' part");
  if (cgroups_path.empty()) return "/" + container_id;
  const std::string cleaned = clean(cgroups_path);
  if (cleaned.empty()) {
    return wrong_path(cgroups_path, "is the root cgroup; name one below it");
  }
  return cgroups_path.starts_with('/') ? cleaned : kDefaultParent + cleaned;
}

Result<SystemdPath> resolve_systemd_path(const std::string& cgroups_path,
                                         const std::string& container_id) {
  const std::string wanted =
      cgroups_path.empty() ? "system.slice:agentvm:" + container_id : cgroups_path;
  const auto parts = split(wanted, ':');
  if (parts.size() != 3) {
    return wrong_path(cgroups_path, "is not 'slice:prefix:name', as --systemd-cgroup wants it");
  }
  SystemdPath path;
  path.slice = parts[0].empty() ? "system.slice" : std::string(parts[0]);
  const std::string name(parts[2]);
  if (name.empty() || wanted.find('/') != std::string::npos) {
    return wrong_path(cgroups_path, "names no unit");
  }
  // As runc: a name that is a slice already is taken as it is, which a VM cannot run in.
  if (name.ends_with(".slice")) {
    return wrong_path(cgroups_path, "names a slice as its unit; a container needs a scope");
  }
  path.unit = (parts[1].empty() ? "" : std::string(parts[1]) + "-") + name + ".scope";
  const std::string slice_path = TRY(spell_out_slice(path.slice, cgroups_path));
  path.path = slice_path + "/" + path.unit;
  return path;
}

}  // namespace agentvm::runtime
