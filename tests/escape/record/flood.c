// promise: 12
// tries: filling the record with refused calls: many calls, many names of processes, many processes
// refused: bounded
// record: call bpf
// record: end exited 0
// proof: bare
// judge: record_size
// within: 120
//
// Outside its own words stand for a record that keeps each.
#include "attack.h"

int main(void) {
    char name[16];
    int outside = !getenv("AIDO_SANDBOX");
    for (int child = 0; child < 4; child++) {
        if (fork())
            continue;
        for (int i = 0; i < 250; i++) {
            snprintf(name, sizeof name, "n%d-%d", child, i);
            prctl(PR_SET_NAME, name, 0, 0, 0);
            syscall(SYS_bpf, i, NULL, 0);
            unshare(CLONE_NEWUSER | (i & 0xff) << 8);
            syscall(SYS_socket, i + 64, 1, 0);
            syscall(SYS_keyctl, i, 0, 0);
            if (outside)
                for (int call = 0; call < 4; call++)
                    printf("a refused call of the process that calls itself %s, and all that is known about it\n", name);
        }
        fflush(stdout);
        _exit(0);
    }
    while (wait(NULL) > 0)
        ;
    return 0;
}
