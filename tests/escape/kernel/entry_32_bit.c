// promise: 2
// tries: a call through the 32-bit entry, where other numbers mean other calls
// refused: SIGSYS ENOSYS
// record: end signalled 31
// proof: bare
//
// Number 20 is getpid there, and writev here. It succeeds if it gives the process's own number.
#include "attack.h"

int main(void) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
    errno = result < 0 ? -result : ENOSYS;
    attempt("int 0x80", result == getpid() ? 0 : -1);
#else
    kill(getpid(), SIGSYS); // This machine has no such entry.
#endif
    return verdict();
}
