// promise: 2
// tries: taking a descriptor out of another process
// refused: EPERM
// record: call pidfd_getfd
// proof: bare
#include "attack.h"

int main(void) {
    int process = syscall(SYS_pidfd_open, getpid(), 0);
    attempt("of a process that it may trace", syscall(SYS_pidfd_getfd, process, 1, 0));
    return verdict();
}
