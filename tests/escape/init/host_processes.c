// promise: 3
// tries: processes of the host by their numbers: signals, pidfds, limits, priorities, /proc
// refused: ESRCH ENOENT EPERM EINVAL
// record: control processes
// proof: bare
#include "attack.h"
#include <dirent.h>
#include <sys/resource.h>

int main(void) {
    pid_t host = atoi(aim("AIM_PID"));
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", host);
    attempt("/proc", open(path, O_RDONLY));
    attempt("a signal", kill(host, 0));
    attempt("a pidfd", syscall(SYS_pidfd_open, host, 0));
    struct rlimit limit;
    attempt("limits", prlimit(host, RLIMIT_NOFILE, NULL, &limit));
    errno = 0;
    attempt("priority", getpriority(PRIO_PROCESS, host) == -1 && errno ? -1 : 0);
    attempt("session", getsid(host));
    return verdict();
}
