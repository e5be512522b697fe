// promise: 3
// tries: slowing aido's first process down: priority, scheduling class, one processor, input and output
// refused: EPERM EACCES
// record: call sched_setaffinity
// record: call setpriority
// record: control processes
// proof: weakened open-init
//
// It runs under the task's own id, which is all that the kernel asks for here.
#include "attack.h"
#include <sys/resource.h>

static int nice_of_init(void) { return getpriority(PRIO_PROCESS, 1); }

int main(void) {
    struct sched_param none = {0};
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = {48, SCHED_IDLE, 0, 0, 0, 0, 0, 0};
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    int before = nice_of_init();
    long io = syscall(SYS_ioprio_get, 1, 1);
    for (int bit = 31; bit < 64; bit += 4) {
        unsigned long init = (bit == 31 ? 0 : 1UL << bit) | 1;
        attempt("idle class", syscall(SYS_sched_setscheduler, init, SCHED_IDLE, &none));
        attempt("idle class by attributes", syscall(SYS_sched_setattr, init, &attr, 0));
        attempt("one processor", syscall(SYS_sched_setaffinity, init, sizeof one, &one));
        attempt("priority", syscall(SYS_setpriority, PRIO_PROCESS, init, 19));
        attempt("idle input and output", syscall(SYS_ioprio_set, 1, init, 3 << 13));
    }
    // Whole groups and users: those may work for the task itself, and must not reach the first process.
    for (int who = 0; who < 2; who++) {
        setpriority(PRIO_PGRP, who, 18);
        setpriority(PRIO_USER, who ? (int)getuid() : 0, 18);
        syscall(SYS_ioprio_set, 2, who, 3 << 13);
        syscall(SYS_ioprio_set, 3, who ? getuid() : 0, 3 << 13);
        syscall(SYS_setpriority, (1UL << 32) | PRIO_USER, 0, 18);
    }
    if (nice_of_init() != before || syscall(SYS_ioprio_get, 1, 1) != io)
        succeeded("by its user or group");
    return verdict();
}
