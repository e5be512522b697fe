// promise: 5
// tries: changing pages of an input by calls that move pages: splice, vmsplice, tee, copy_file_range, old asynchronous writing
// refused: EBADF EINVAL EACCES EPERM EROFS EXDEV unchanged
// record: control read-only
// proof: bare
//
// Outside the same calls get a descriptor that was opened for writing.
#include "attack.h"
#include <sys/uio.h>
#include <linux/aio_abi.h>

int main(void) {
    int from = open("input", O_RDONLY), to = open("input", O_RDWR), pair[2];
    if (pipe(pair) == -1)
        return 2;
    char page[64] = "in\n", before[64] = "", after[64] = "";
    if (pread(from, before, 3, 0) != 3)
        return 2;
    // Pages of the file in a pipe, and then more written behind them.
    loff_t at = 0;
    if (splice(from, &at, pair[1], NULL, 1, 0) == 1 && write(pair[1], "XX", 2) != 2)
        return 2;
    struct iovec one = {page, sizeof page};
    vmsplice(pair[1], &one, 1, SPLICE_F_GIFT);
    at = 0;
    attempt("out of a pipe", splice(pair[0], NULL, to == -1 ? from : to, &at, 1, 0));
    at = 0;
    attempt("copy_file_range", copy_file_range(from, NULL, to == -1 ? from : to, &at, 3, 0));
    aio_context_t context = 0;
    if (syscall(SYS_io_setup, 1, &context) == 0) {
        struct iocb block = {.aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = to == -1 ? from : to,
                             .aio_buf = (uintptr_t)page, .aio_nbytes = 3};
        struct iocb *list[] = {&block};
        attempt("asynchronously", syscall(SYS_io_submit, context, 1L, list));
    }
    if (pread(from, after, 3, 0) != 3 || memcmp(before, after, 3))
        succeeded("another content");
    refused_as("unchanged");
    return verdict();
}
