#include "guest-agent/configure.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "guest-agent/modules.h"
#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

constexpr std::size_t kLeastEntropy = 32;
constexpr std::size_t kMostEntropy = 512;
constexpr std::size_t kMachineIdDigits = 32;
constexpr std::size_t kMostHostname = 64;  // HOST_NAME_MAX
constexpr int kMostModules = 64;

std::unexpected<Error> wrong(std::string_view why) {
  return fail(ErrorKind::invalid_argument, fmt::format("configure: {}", why));
}

Result<void> check(const agent::v1::ConfigureRequest& request) {
  if (request.entropy().size() < kLeastEntropy || request.entropy().size() > kMostEntropy) {
    return wrong("entropy must have 32 to 512 bytes");
  }
  const std::string& id = request.machine_id();
  if (id.size() != kMachineIdDigits ||
      id.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return wrong("machine_id must have 32 lower case hex digits");
  }
  const std::string& hostname = request.hostname();
  if (hostname.size() > kMostHostname || hostname.find('\0') != std::string::npos) {
    return wrong("hostname is too long");
  }
  if (request.modules_size() > kMostModules) return wrong("too many modules");
  for (const std::string& name : request.modules()) {
    const bool plain = std::ranges::all_of(name, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '-';
    });
    if (name.empty() || !plain) return wrong(fmt::format("'{}' is no module name", name));
  }
  return {};
}

Result<void> set_clock(std::uint64_t realtime_ns) {
  constexpr std::uint64_t kSecond = 1000000000;
  timespec now{};
  now.tv_sec = static_cast<std::time_t>(realtime_ns / kSecond);
  now.tv_nsec = static_cast<long>(realtime_ns % kSecond);
  if (::clock_settime(CLOCK_REALTIME, &now) != 0) return fail_errno(errno, "set the clock");
  return {};
}

Result<void> seed_random(std::string_view entropy) {
  auto random = TRY(sys::open_at(AT_FDCWD, "/dev/urandom", O_WRONLY));
  std::vector<int> buffer(2 + (entropy.size() + sizeof(int) - 1) / sizeof(int));
  auto* pool = reinterpret_cast<rand_pool_info*>(buffer.data());
  pool->entropy_count = static_cast<int>(entropy.size() * 8);
  pool->buf_size = static_cast<int>(entropy.size());
  std::memcpy(pool->buf, entropy.data(), entropy.size());
  const bool added = ::ioctl(random.get(), RNDADDENTROPY, pool) == 0;
  ::explicit_bzero(buffer.data(), buffer.size() * sizeof(int));
  if (!added) return fail_errno(errno, "add entropy");
  // The pool feeds the generator's key minutes later, unless told.
  if (::ioctl(random.get(), RNDRESEEDCRNG) != 0) return fail_errno(errno, "reseed the generator");
  char probe = 0;
  if (::getrandom(&probe, 1, GRND_NONBLOCK) != 1) return fail_errno(errno, "generator not seeded");
  return {};
}

Result<void> write_machine_id(const std::string& id) {
  if (::mkdir("/etc", 0755) != 0 && errno != EEXIST) return fail_errno(errno, "mkdir '/etc'");
  auto etc = TRY(sys::open_at(AT_FDCWD, "/etc", O_RDONLY | O_DIRECTORY));
  return sys::replace_file_at(etc.get(), "machine-id", id + "\n", 0444);
}

}  // namespace

Result<void> configure_guest(const agent::v1::ConfigureRequest& request) {
  TRY(check(request));
  TRY(set_clock(request.realtime_ns()));
  TRY(seed_random(request.entropy()));
  TRY(write_machine_id(request.machine_id()));
  if (!request.hostname().empty() &&
      ::sethostname(request.hostname().data(), request.hostname().size()) != 0) {
    return fail_errno(errno, "set the hostname");
  }
  for (const std::string& name : request.modules()) TRY(load_module(name));
  if (request.debug_log()) log::set_sink({{}, log::Format::text, log::Level::debug});
  return {};
}

}  // namespace agentvm::guest
