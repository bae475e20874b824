// PID 1 of the test guest: says that it runs, then does what the kernel command line's last word
// says: "off" (power off), "panic" or "stay".
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[argc - 1] : "stay";
  printf("init runs: %s\n", what);
  fflush(stdout);
  if (strcmp(what, "off") == 0) reboot(RB_POWER_OFF);
  if (strcmp(what, "panic") == 0) return 1;
  for (;;) pause();
}
