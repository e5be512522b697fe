// promise: 3
// tries: setting limits on aido's first process, so that the kernel ends it for its processor time
// refused: EPERM EACCES
// record: call prlimit64
// record: control processes
// proof: weakened open-init
//
// It runs under the task's own id, which is all that the kernel asks for here.
#include "attack.h"
#include <sys/resource.h>

int main(void) {
    struct rlimit now = {1 << 10, 1 << 10}, cpu = {RLIM_INFINITY, RLIM_INFINITY};
    attempt("descriptors", prlimit(1, RLIMIT_NOFILE, &now, NULL));
    attempt("processor time", prlimit(1, RLIMIT_CPU, &cpu, NULL));
    // Bits that the kernel drops, and asking while setting.
    struct rlimit before;
    for (int bit = 32; bit < 64; bit++)
        attempt("behind high bits", syscall(SYS_prlimit64, (1UL << bit) | 1, RLIMIT_NOFILE, &now, &before));
    return verdict();
}
