// promise: 2
// tries: moving memory between nodes, and advising on another process's memory
// refused: EPERM
// record: call move_pages
// record: call mbind
// record: call process_madvise
// proof: bare
// lacks: ENOSYS
#include "attack.h"
#include <sys/uio.h>

int main(void) {
    static char page[8192];
    void *at = (void *)(((uintptr_t)page + 4095) & ~4095UL);
    *(char *)at = 1;
    int status, process = syscall(SYS_pidfd_open, getpid(), 0);
    struct iovec all = {at, 4096};
    attempt("move_pages", syscall(SYS_move_pages, 0, 1UL, &at, NULL, &status, 0));
    attempt("mbind", syscall(SYS_mbind, at, 4096UL, 0, NULL, 0UL, 0));
    attempt("process_madvise", syscall(SYS_process_madvise, process, &all, 1UL, 20 /* cold */, 0));
    return verdict();
}
