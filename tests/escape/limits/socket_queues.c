// promise: 8
// tries: memory that belongs to no process: what waits in pipes and sockets that nobody reads
// refused: out_of_memory ENOBUFS ENOMEM EMFILE ENFILE
// record: control memory
// needs: cgroups
// options: --memory 64MiB
// proof: bare
//
// Descriptors of full sockets are sent into other sockets and closed, so that no table of descriptors bounds them.
#include "attack.h"
#include <sys/resource.h>
#include <sys/socket.h>

int main(void) {
    static char block[65536];
    struct rlimit most;
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = most.rlim_max < 4096 ? most.rlim_max : 4096;
    setrlimit(RLIMIT_NOFILE, &most);
    long held = 0;
    pid_t children[8] = {0};
    // A process each, since the kernel also counts by descriptor table.
    for (int child = 0; child < 8; child++) {
        int report[2];
        if (pipe(report) == -1)
            break;
        pid_t pid = children[child] = fork();
        if (pid == 0) {
            long mine = 0;
            int ends[2];
            while (mine < (32L << 20) && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0) {
                fcntl(ends[0], F_SETFL, O_NONBLOCK);
                for (ssize_t n; (n = write(ends[0], block, sizeof block)) > 0;)
                    mine += n;
            }
            if (write(report[1], &mine, sizeof mine) == sizeof mine)
                pause();
            _exit(0);
        }
        long theirs = 0;
        close(report[1]);
        if (pid == -1 || read(report[0], &theirs, sizeof theirs) != sizeof theirs)
            break;
        held += theirs;
    }
    for (int child = 0; child < 8; child++)
        if (children[child] > 0)
            kill(children[child], SIGKILL);
    if (held >= 200L << 20)
        succeeded("200 MiB in queues");
    errno = ENOMEM;
    attempt("queues", -1);
    return verdict();
}
