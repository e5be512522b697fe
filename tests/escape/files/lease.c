// promise: 5
// tries: a lease on an input that is a single file, so that whoever opens it for writing waits
// refused: EACCES EAGAIN EINVAL EPERM
// record: call fcntl
// record: control read-only
// yaml: inputs: [input, attack.bin]
// proof: bare
#include "attack.h"

int main(void) {
    int fd = open("input", O_RDONLY);
    attempt("a lease", fcntl(fd, F_SETLEASE, F_RDLCK));
    // As root, on programs of the host as well.
    attempt("a lease on a program", fcntl(open("/bin/sh", O_RDONLY), F_SETLEASE, F_RDLCK));
    return verdict();
}
