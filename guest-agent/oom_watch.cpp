#include "guest-agent/oom_watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// Reading arms the kernel's notification for what comes after.
void arm(int events) {
  std::array<char, 512> text{};
  (void)!::pread(events, text.data(), text.size(), 0);
}

}  // namespace

Result<std::shared_ptr<OomWatch>> OomWatch::open(const asio::any_io_executor& executor,
                                                 const std::string& path) {
  auto events = TRY(sys::open_at(AT_FDCWD, path + "/memory.events", O_RDONLY));
  arm(events.get());
  return std::shared_ptr<OomWatch>(new OomWatch(executor, events.release()));
}

asio::awaitable<bool> OomWatch::wait_change() {
  if (!events_.is_open()) co_return false;
  const auto [code] =
      co_await events_.async_wait(asio::posix::descriptor_base::wait_error, use_result);
  if (code || !events_.is_open()) co_return false;
  arm(events_.native_handle());
  co_return true;
}

void OomWatch::end() {
  boost::system::error_code ignored;
  events_.close(ignored);
}

}  // namespace agentvm::guest
