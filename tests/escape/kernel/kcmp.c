// promise: 2
// tries: comparing kernel objects, which tells where they lie
// refused: EPERM
// record: call kcmp
// proof: bare
#include "attack.h"

int main(void) {
    attempt("kcmp", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
    return verdict();
}
