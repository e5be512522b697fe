// promise: 5
// tries: without namespaces: leases on inputs and on programs, for which the host would wait
// refused: EPERM EACCES EAGAIN EINVAL
// record: call fcntl
// options: --isolation landlock
// only: host this second mechanism has no image roots
// proof: bare
#include "attack.h"

int main(void) {
    attempt("a lease", fcntl(open("input", O_RDONLY), F_SETLEASE, F_RDLCK));
    attempt("a lease on a program", fcntl(open("/bin/sh", O_RDONLY), F_SETLEASE, F_RDLCK));
    return verdict();
}
