#include "runtime/orphan.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "oci/base/log.h"
#include "oci/base/signals.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/process_title.h"

namespace agentvm::runtime {

Result<pid_t> spawn_orphan(const std::function<void()>& life) {
  auto [read_end, write_end] = TRY(sys::pipe());
  const pid_t middle = ::fork();
  if (middle < 0) return fail_errno(errno, "fork");
  if (middle == 0) {
    const pid_t orphan = ::fork();
    if (orphan == 0) {
      read_end.reset();
      write_end.reset();
      (void)reset_signals();
      (void)::signal(SIGPIPE, SIG_IGN);
      (void)::setsid();
      life();
      ::_exit(1);
    }
    const pid_t answer = orphan < 0 ? -errno : orphan;
    (void)!::write(write_end.get(), &answer, sizeof answer);
    ::_exit(0);
  }
  write_end.reset();
  pid_t answer = -EIO;
  while (::read(read_end.get(), &answer, sizeof answer) < 0 && errno == EINTR) {
  }
  while (::waitpid(middle, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (answer <= 0) return fail_errno(-answer, "fork");
  return answer;
}

void detach_stdio() {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (int fd = 0; fd <= 2; ++fd) (void)::dup2(null, fd);
  if (null > 2) ::close(null);
}

void live_on_unseen(std::string_view title) {
  detach_stdio();
  log::set_sink({});
  (void)!::chdir("/");
  set_process_title(title);
}

}  // namespace agentvm::runtime
