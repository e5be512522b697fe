// promise: 2
// tries: a filter of its own that allows everything, laid over aido's
// refused: EPERM
// record: call unshare
// proof: bare
#include "attack.h"
#include <linux/filter.h>
#include <linux/seccomp.h>

int main(void) {
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, allow};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == -1)
        attempt("a filter", -1);
    // Modes that are lower, and privileges that were given up.
    prctl(PR_SET_SECCOMP, 0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    attempt("unshare", unshare(CLONE_NEWUSER));
    return verdict();
}
