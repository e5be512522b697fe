// promise: 2
// tries: typing into a terminal (TIOCSTI), also with bits set that the kernel drops
// refused: EPERM
// record: call ioctl
// proof: bare-root
//
// A terminal of its own is the target. Young kernels let only root do it.
#include "attack.h"
#include <sys/ioctl.h>

static int type_into_it(void) {
    setsid();
    int keeper = posix_openpt(O_RDWR);
    if (keeper == -1 || grantpt(keeper) == -1 || unlockpt(keeper) == -1)
        return errno;
    int terminal = open(ptsname(keeper), O_RDWR);
    if (terminal == -1)
        return errno;
    for (int bit = 31; bit < 64; bit++) {
        unsigned long request = TIOCSTI | (bit == 31 ? 0 : 1UL << bit);
        if (syscall(SYS_ioctl, terminal, request, "x") == 0)
            return 0;
        if (errno != EPERM)
            return errno;
    }
    return EPERM;
}

int main(void) {
    in_child("TIOCSTI", type_into_it);
    return verdict();
}
