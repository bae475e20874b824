// The least that can be PID 1: the bare boot that agentvm is measured against ends here.
#include <sys/reboot.h>

int main() { return ::reboot(RB_POWER_OFF); }
