// promise: 9
// tries: taking over the orphans, and shaking off the signal at the parent's death
// refused: gone
// record: end exited 0
// record: control deadline
// proof: bare
// judge: survivor
// within: 40
#include "attack.h"

int main(void) {
    if (fork() == 0) {
        setsid();
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
        for (int i = 0; i < 4; i++)
            if (fork() == 0) {
                if (fork())
                    _exit(0);
                sleep(300);
                _exit(0);
            }
        sleep(300);
        _exit(0);
    }
    usleep(200000);
    return 0;
}
