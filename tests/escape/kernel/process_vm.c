// promise: 2
// tries: another process's memory, read and written wholesale
// refused: ENOSYS EPERM
// record: call process_vm_readv
// record: call process_vm_writev
// proof: bare
#include "attack.h"
#include <sys/uio.h>

static volatile int secret = 1;

int main(void) {
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    int got = 0;
    struct iovec mine = {&got, sizeof got}, theirs = {(void *)&secret, sizeof secret};
    long read = process_vm_readv(child, &mine, 1, &theirs, 1, 0);
    int first = errno;
    long written = process_vm_writev(child, &mine, 1, &theirs, 1, 0);
    int second = errno;
    kill(child, SIGKILL);
    errno = first;
    attempt("process_vm_readv", read);
    errno = second;
    attempt("process_vm_writev", written);
    return verdict();
}
