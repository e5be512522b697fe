// promise: 8
// tries: memory that belongs to no process: memfd, which passes every rlimit
// refused: out_of_memory ENOSPC ENOMEM
// record: control memory
// needs: cgroups
// options: --memory 64MiB
// proof: bare
#include "attack.h"
#include <sys/mman.h>

int main(void) {
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    int fd = memfd_create("x", 0);
    for (int i = 0; i < 256; i++)
        if (write(fd, block, sizeof block) != (ssize_t)sizeof block) {
            attempt("memfd", -1);
            return verdict();
        }
    succeeded("256 MiB");
}
