// promise: 2
// tries: each other kind of namespace, by unshare and by clone
// refused: EPERM
// record: call unshare
// record: call clone
// proof: weakened capable
//
// Without a user namespace of one's own the others need a capability; `capable` leaves it to the task.
#include "attack.h"

int main(void) {
    int kinds[] = {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWCGROUP, 0x80 /* time */};
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        attempt("unshare", unshare(kinds[i]));
        if (kinds[i] == 0x80)
            continue; // In clone these bits are the signal.
        long pid = syscall(SYS_clone, kinds[i] | SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0)
            _exit(0);
        attempt("clone", pid);
    }
    return verdict();
}
