// promise: 2
// tries: entering namespaces through files and through a process
// refused: EPERM
// record: call setns
// proof: weakened capable
//
// Even one's own network namespace is entered only with a capability; `capable` leaves it to the task.
#include "attack.h"
#include <sys/syscall.h>

int main(void) {
    const char *files[] = {"/proc/self/ns/net", "/proc/self/ns/uts", "/proc/self/ns/ipc"};
    for (int i = 0; i < 3; i++) {
        int fd = open(files[i], O_RDONLY | O_CLOEXEC);
        if (fd == -1) {
            attempt(files[i], -1);
            continue;
        }
        attempt(files[i], setns(fd, 0));
    }
    int process = syscall(SYS_pidfd_open, getpid(), 0);
    attempt("through a process", setns(process, CLONE_NEWNET | CLONE_NEWUTS));
    return verdict();
}
