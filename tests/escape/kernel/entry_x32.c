// promise: 2
// tries: a call with the bit of the x32 numbers set
// refused: SIGSYS
// record: end signalled 31
// proof: bare
//
// Kernels without x32 answer ENOSYS, and so are reached: the filter must end the process before it is asked.
#include "attack.h"

int main(void) {
#ifdef __x86_64__
    long result = syscall(0x40000000 | SYS_getpid);
    if (result == getpid() || errno == ENOSYS)
        succeeded("the kernel itself answered");
    attempt("getpid by x32", -1);
#else
    kill(getpid(), SIGSYS); // This machine has no such numbers.
#endif
    return verdict();
}
