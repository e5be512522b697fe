// promise: 8
// tries: raising what was lowered for it: core files, priorities, real time, locked memory
// refused: EPERM EACCES EINVAL
// record: control privileges
// proof: bare-root
#include "attack.h"
#include <sys/resource.h>

int main(void) {
    struct rlimit more = {1 << 20, RLIM_INFINITY};
    struct sched_param first = {1};
    attempt("core files", setrlimit(RLIMIT_CORE, &more));
    attempt("real time", sched_setscheduler(0, SCHED_FIFO, &first));
    attempt("priority", setpriority(PRIO_PROCESS, 0, -10));
    attempt("input and output", syscall(SYS_ioprio_set, 1, 0, 1 << 13 /* real time */));
    return verdict();
}
