// promise: 13
// tries: ending whoever reports its status: its parent, its group, everything it can see
// refused: true-status
// record: end exited 9
// proof: weakened shared-pids
// judge: status
#include "attack.h"

int main(void) {
    const char *named = getenv("AIM_INIT");
    pid_t reporter = named ? atoi(named) : getppid();
    if (!named && getpid() > 1000)
        return 3; // This is no sandbox.
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    for (int i = 0; i < 3; i++)
        kill(reporter, SIGKILL);
    if (!named) {
        kill(0, SIGHUP);
        kill(-1, SIGHUP);
    }
    usleep(100000);
    _exit(9);
}
