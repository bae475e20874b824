#include "guest-agent/launch/environment.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "oci/base/sys.h"

namespace agentvm::guest {

namespace {

constexpr std::size_t kLongestPasswd = std::size_t{4} << 20;

std::string_view name_of_entry(std::string_view entry) {
  return entry.substr(0, entry.find('='));
}

// The image wrote it: it may be anything, a fifo included.
std::string read_passwd(int root_fd) {
  const auto fd = sys::open_in_root(root_fd, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd) return {};
  struct stat st{};
  if (::fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  return sys::read_all(fd->get(), kLongestPasswd).value_or(std::string());
}

}  // namespace

std::vector<std::string> unique_environment(const std::vector<std::string>& given) {
  std::vector<std::string> out;
  for (const std::string& entry : given) {
    const auto same = std::ranges::find_if(out, [&](const std::string& other) {
      return name_of_entry(other) == name_of_entry(entry);
    });
    if (same == out.end()) {
      out.push_back(entry);
    } else {
      *same = entry;
    }
  }
  return out;
}

std::string_view environment_value(const std::vector<std::string>& environment,
                                   std::string_view name) {
  for (const std::string_view entry : environment) {
    if (name_of_entry(entry) == name && entry.size() > name.size()) {
      return entry.substr(name.size() + 1);
    }
  }
  return {};
}

std::string home_in_passwd(std::string_view passwd, std::uint32_t uid) {
  while (!passwd.empty()) {
    const std::size_t end = std::min(passwd.find('\n'), passwd.size());
    std::string_view line = passwd.substr(0, end);
    passwd.remove_prefix(std::min(end + 1, passwd.size()));
    std::array<std::string_view, 6> fields;  // name, password, uid, gid, gecos, home
    std::size_t count = 0;
    for (; count < fields.size() && !line.empty(); ++count) {
      const std::size_t colon = std::min(line.find(':'), line.size());
      fields[count] = line.substr(0, colon);
      line.remove_prefix(std::min(colon + 1, line.size()));
    }
    std::uint32_t id = 0;
    const std::string_view text = fields[2];
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), id);
    const bool number = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
    if (number && id == uid && !fields[5].empty()) return std::string(fields[5]);
  }
  return "/";
}

void add_home(std::vector<std::string>& environment, int root_fd, std::uint32_t uid) {
  if (!environment_value(environment, "HOME").empty()) return;
  std::erase_if(environment,
                [](const std::string& entry) { return name_of_entry(entry) == "HOME"; });
  environment.push_back("HOME=" + home_in_passwd(read_passwd(root_fd), uid));
}

}  // namespace agentvm::guest
