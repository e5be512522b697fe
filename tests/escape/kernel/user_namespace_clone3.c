// promise: 2
// tries: a child in a user namespace of its own by clone3, whose flags lie in memory
// refused: ENOSYS
// record: call clone3
// proof: bare
#include "attack.h"
#include <linux/sched.h>

int main(void) {
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(0);
    attempt("clone3", pid);
    return verdict();
}
