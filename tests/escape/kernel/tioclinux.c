// promise: 2
// tries: the console's paste (TIOCLINUX) and line disciplines (TIOCSETD)
// refused: EPERM
// record: call ioctl
// proof: bare
//
// A terminal that is no console answers ENOTTY to the first: the driver was reached all the same.
#include "attack.h"
#include <sys/ioctl.h>

int main(void) {
    int keeper = posix_openpt(O_RDWR | O_NOCTTY);
    if (keeper == -1 || unlockpt(keeper) == -1) {
        attempt("a terminal", -1);
        return verdict();
    }
    int terminal = open(ptsname(keeper), O_RDWR | O_NOCTTY), discipline = 0;
    char paste = 3;
    for (int bit = 31; bit < 64; bit += 8) {
        unsigned long high = bit == 31 ? 0 : 1UL << bit;
        long result = syscall(SYS_ioctl, terminal, TIOCLINUX | high, &paste);
        attempt("TIOCLINUX", result == -1 && errno == ENOTTY ? 0 : result);
        attempt("TIOCSETD", syscall(SYS_ioctl, terminal, TIOCSETD | high, &discipline));
    }
    return verdict();
}
