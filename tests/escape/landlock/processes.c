// promise: 3
// tries: without namespaces: a process of the host of its own user: signals, tracing, memory, limits, priorities, descriptors
// refused: EACCES EPERM ESRCH ENOSYS EIO
// record: call prlimit64
// record: call setpriority
// record: call process_vm_readv
// options: --isolation landlock
// only: host this second mechanism has no image roots
// proof: bare
//
// The tests' own process is the target. Signal 0 reaches it and does nothing.
#include "attack.h"
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>

static int seize(void) { return ptrace(PTRACE_SEIZE, atoi(aim("AIM_PID")), 0, 0) == -1 ? errno : 0; }

int main(void) {
    pid_t host = atoi(aim("AIM_PID"));
    char path[64], byte;
    attempt("kill", kill(host, 0));
    attempt("tgkill", syscall(SYS_tgkill, host, host, 0));
    union sigval value = {0};
    attempt("sigqueue", sigqueue(host, 0, value));
    int process = syscall(SYS_pidfd_open, host, 0);
    attempt("by pidfd", syscall(SYS_pidfd_send_signal, process, 0, NULL, 0));
    attempt("its descriptor", syscall(SYS_pidfd_getfd, process, 0, 0));
    in_child("seize", seize);
    struct iovec one = {&byte, 1}, its = {&byte, 1};
    attempt("its memory", process_vm_readv(host, &one, 1, &its, 1, 0));
    struct rlimit limit = {1024, 1024};
    attempt("its limits", prlimit(host, RLIMIT_NOFILE, NULL, &limit) == -1 ? -1 : prlimit(host, RLIMIT_NOFILE, &limit, NULL));
    attempt("its priority", setpriority(PRIO_PROCESS, host, 1));
    // To what it is already: all processes of the user, the user named by 0 and by number, and one.
    attempt("everybody's input and output", syscall(SYS_ioprio_set, 3, 0, 0));
    attempt("the user's input and output", syscall(SYS_ioprio_set, 3, getuid(), 0));
    attempt("its input and output", syscall(SYS_ioprio_set, 1, host, 0));
    struct sched_param none = {0};
    attempt("its class", sched_setscheduler(host, SCHED_OTHER, &none));
    const char *files[] = {"mem", "environ", "maps", "status", "cmdline"};
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", host, files[i]);
        attempt(files[i], open(path, O_RDONLY));
    }
    const char *links[] = {"exe", "cwd", "root", "fd/0"};
    char target[256];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", host, links[i]);
        attempt(links[i], readlink(path, target, sizeof target));
    }
    // All of the user at once; signal 0 again.
    attempt("everybody", kill(-1, 0) == 0 && kill(host, 0) == 0 ? 0 : -1);
    return verdict();
}
