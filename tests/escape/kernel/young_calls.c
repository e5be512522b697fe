// promise: 2
// tries: calls that no profile has heard of yet: all numbers up to 1023 that are young or none
// refused: EPERM ENOSYS
// record: control syscalls
// proof: bare
// lacks: ENOSYS
//
// A deny list would let a new call through. The kernel's own refusals differ (EINVAL, EBADF, EFAULT), and these are
// success: it was reached. The calls are made with arguments that are nothing.
// Kernels before 6.8 have none of them.
#include "attack.h"

int main(void) {
    // From statmount and its neighbours on; the few that the profile knows and allows are left out.
    long allowed[] = {449 /* futex_waitv */, 451, 452, 453, 454, 455, 456, 462, 463, 464, 465, 466};
    for (long number = 457; number < 1024; number++) {
        int known = 0;
        for (unsigned i = 0; i < sizeof allowed / sizeof *allowed; i++)
            known |= number == allowed[i];
        if (known)
            continue;
        long result = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
        if (result != -1 || (errno != EPERM && errno != ENOSYS)) {
            fprintf(stderr, "%ld: %d\n", number, errno);
            succeeded("the kernel was reached");
        }
        attempt("a young call", result);
    }
    return verdict();
}
