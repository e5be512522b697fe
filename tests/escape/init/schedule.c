// promise: 3
// tries: slowing aido's first process down: priority, scheduling class, one processor, input and output
// refused: EPERM EACCES
// record: control processes
// proof: weakened open-init
//
// It runs under the task's own id, which is all that the kernel asks for here.
#include "attack.h"
#include <sys/resource.h>

int main(void) {
    struct sched_param none = {0};
    attempt("idle class", sched_setscheduler(1, SCHED_IDLE, &none));
    attempt("priority", setpriority(PRIO_PROCESS, 1, 19));
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    attempt("one processor", sched_setaffinity(1, sizeof one, &one));
    attempt("idle input and output", syscall(SYS_ioprio_set, 1, 1, 3 << 13));
    return verdict();
}
