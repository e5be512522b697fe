// promise: 9
// tries: children that sleep in the kernel when they are killed: vfork, a lock, a full pipe, a refused call
// refused: gone
// record: end exited 0
// record: call bpf
// proof: bare
// judge: survivor
// within: 40
#include "attack.h"
#include <sys/file.h>

int main(void) {
    int ends[2];
    char path[256], full[1 << 16] = {0};
    snprintf(path, sizeof path, "%s/lock", aim("AIM_TMP"));
    for (int kind = 0; kind < 4; kind++) {
        if (fork())
            continue;
        setsid();
        for (int number = 1; number < 32; number++)
            signal(number, SIG_IGN);
        if (kind == 0 && vfork() == 0)
            for (;;)
                pause();
        if (kind == 1) {
            int a = open(path, O_CREAT | O_RDWR, 0600), b = open(path, O_RDWR);
            flock(a, LOCK_EX);
            flock(b, LOCK_EX);
        }
        if (kind == 2 && pipe(ends) == 0)
            for (;;)
                if (write(ends[1], full, sizeof full) == -1)
                    break;
        for (volatile int i = 0; kind == 3 && i < 2000000; i++)
            syscall(SYS_bpf, 0, NULL, 0);
        for (;;)
            pause();
    }
    usleep(300000);
    return 0;
}
