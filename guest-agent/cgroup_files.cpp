#include "guest-agent/cgroup_files.h"

#include <dirent.h>
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <limits>
#include <memory>

#include "oci/base/sys.h"
#include "oci/base/text.h"

namespace agentvm::guest {

std::vector<std::string_view> lines_of(std::string_view text) {
  return split(text, "\n");
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  while (text.ends_with('\n') || text.ends_with(' ')) text.remove_suffix(1);
  if (text == "max") return std::numeric_limits<std::uint64_t>::max();
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> keyed_number(std::string_view text, std::string_view key) {
  for (std::string_view line : lines_of(text)) {
    if (line.size() <= key.size() || !line.starts_with(key) || line[key.size()] != ' ') continue;
    return parse_number(line.substr(key.size() + 1));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> read_number(const std::string& path, std::string_view name) {
  const auto text = sys::read_file(fmt::format("{}/{}", path, name), kMaxCgroupFile);
  return text ? parse_number(*text) : std::nullopt;
}

namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

Result<std::vector<std::string>> cgroup_directories(const std::string& path) {
  std::vector<std::string> found = {path};
  for (std::size_t at = 0; at < found.size(); ++at) {
    const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(found[at].c_str()));
    if (!directory) {
      if (errno == ENOENT && at > 0) continue;
      return fail_errno(errno, fmt::format("list '{}'", found[at]));
    }
    while (const dirent* entry = ::readdir(directory.get())) {
      const std::string_view name = entry->d_name;
      if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
      if (found.size() >= kMaxCgroupDirectories) {
        return fail(ErrorKind::failed_precondition,
                    fmt::format("more than {} cgroups below '{}'", kMaxCgroupDirectories, path));
      }
      found.push_back(fmt::format("{}/{}", found[at], name));
    }
  }
  return found;
}

}  // namespace agentvm::guest
