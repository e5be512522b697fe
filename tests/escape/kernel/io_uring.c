// promise: 2
// tries: a ring of io_uring, whose calls no filter sees
// refused: ENOSYS EPERM
// record: call io_uring_setup
// record: control syscalls
// proof: bare
#include "attack.h"

int main(void) {
    char params[128] = {0};
    attempt("io_uring_setup", syscall(SYS_io_uring_setup, 4, params));
    return verdict();
}
