// promise: 6
// tries: another root folder, from which `..` leads out
// refused: EPERM
// record: call chroot
// record: call pivot_root
// proof: weakened capable
//
// Both need a capability, which `capable` leaves to the task.
#include "attack.h"

int main(void) {
    attempt("chroot", chroot("/tmp"));
    attempt("chroot to here", chroot("."));
    attempt("pivot_root", syscall(SYS_pivot_root, ".", "."));
    return verdict();
}
