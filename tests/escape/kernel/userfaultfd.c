// promise: 2
// tries: page faults handled in user space, to hold kernel code still
// refused: EPERM
// record: call userfaultfd
// proof: bare
#include "attack.h"

int main(void) {
    attempt("userfaultfd", syscall(SYS_userfaultfd, 1 /* user mode only: what anybody may */));
    attempt("userfaultfd for the kernel", syscall(SYS_userfaultfd, 0));
    return verdict();
}
