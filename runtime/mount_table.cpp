#include "runtime/mount_table.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMaxMountinfo = std::size_t{16} << 20;

// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
bool parse_line(std::string_view line, MountEntry& entry) {
  const auto words = split(line, " ");
  const auto dash = std::ranges::find(words, "-");
  if (dash - words.begin() < 6 || words.end() - dash < 2) return false;
  const std::string_view id = words[0];
  if (std::from_chars(id.data(), id.data() + id.size(), entry.id).ec != std::errc()) return false;
  entry.mount_point = unescape_mount_path(words[4]);
  entry.type = std::string(*(dash + 1));
  if (words.end() - dash > 3) entry.options = unescape_mount_path(*(dash + 3));
  entry.shared = std::any_of(words.begin() + 6, dash,
                             [](std::string_view word) { return word.starts_with("shared:"); });
  return true;
}

}  // namespace

std::string unescape_mount_path(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::ranges::all_of(text.substr(i + 1, 3), is_octal)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<MountEntry> parse_mount_table(std::string_view mountinfo) {
  std::vector<MountEntry> table;
  while (!mountinfo.empty()) {
    const std::size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
    MountEntry entry;
    if (parse_line(mountinfo.substr(0, end), entry)) table.push_back(std::move(entry));
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
  }
  return table;
}

Result<std::vector<MountEntry>> read_mount_table() {
  return parse_mount_table(TRY(sys::read_file("/proc/self/mountinfo", kMaxMountinfo)));
}

Result<bool> is_on_shared_mount(int fd) {
  const std::string info = TRY(sys::read_file(fmt::format("/proc/self/fdinfo/{}", fd), 4096));
  constexpr std::string_view kKey = "mnt_id:";
  const std::size_t at = info.find(kKey);
  const std::size_t digits = info.find_first_of("0123456789", std::min(at, info.size()));
  std::int64_t id = 0;
  if (at == std::string::npos || digits == std::string::npos ||
      std::from_chars(info.data() + digits, info.data() + info.size(), id).ec != std::errc()) {
    return fail(ErrorKind::internal, "/proc/self/fdinfo is not as proc(5) says");
  }
  const std::vector<MountEntry> table = TRY(read_mount_table());
  const auto found = std::ranges::find(table, id, &MountEntry::id);
  return found != table.end() && found->shared;
}

Result<std::string> path_of(int fd) {
  std::array<char, PATH_MAX> path{};
  const ssize_t length =
      ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), path.data(), path.size());
  if (length < 0) return fail_errno(errno, "find the path of a directory");
  return std::string(path.data(), static_cast<std::size_t>(length));
}

}  // namespace agentvm::runtime
