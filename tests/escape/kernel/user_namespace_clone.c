// promise: 2
// tries: a child in a user namespace of its own by clone
// refused: EPERM
// record: call clone
// proof: bare
#include "attack.h"

int main(void) {
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    attempt("clone", pid);
    // The same with high bits that the kernel does not look at.
    pid = syscall(SYS_clone, (1UL << 40) | CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    attempt("clone with high bits", pid);
    return verdict();
}
