#include "oci/base/signals.h"

#include <signal.h>

namespace agentvm {

bool reset_signals() {
  struct sigaction usual{};
  usual.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) (void)::sigaction(signal, &usual, nullptr);
  sigset_t none;
  (void)::sigemptyset(&none);
  return ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

}  // namespace agentvm
