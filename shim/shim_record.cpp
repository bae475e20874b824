#include "shim/shim_record.h"

#include <fmt/format.h>
#include <poll.h>

#include <charconv>
#include <csignal>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::shim {

namespace {

constexpr int kDeathWaitMs = 1000;

template <class T>
bool read_number(std::string_view text, T& out) {
  const char* end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, out);
  return code == std::errc() && rest == end && out > 0;
}

}  // namespace

Result<void> store_shim(int bundle, pid_t shim) {
  const std::uint64_t start = TRY(sys::process_start_time(shim), "the shim");
  return sys::replace_file_at(bundle, kShimRecord, fmt::format("{} {}\n", shim, start), 0600);
}

void kill_shim(int bundle) {
  const auto text = sys::read_file_at(bundle, kShimRecord, 64);
  if (!text) return;
  const auto words = split(*text, " \n");
  pid_t pid = 0;
  std::uint64_t start = 0;
  if (words.size() != 2 || !read_number(words[0], pid) || !read_number(words[1], start)) return;
  const auto process = sys::pidfd_open(pid);
  if (!process) return;
  const auto now = sys::process_start_time(pid);
  if (!now || *now != start) return;
  (void)sys::pidfd_send_signal(process->get(), SIGKILL);
  pollfd entry{process->get(), POLLIN, 0};
  (void)::poll(&entry, 1, kDeathWaitMs);
}

}  // namespace agentvm::shim
