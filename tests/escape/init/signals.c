// promise: 3
// tries: ending, stopping or upsetting aido's first process by every signal, by five calls
// refused: unharmed
// record: end exited 1
// record: control processes
// proof: weakened shared-pids
//
// The kernel shields the first process of a PID namespace; in `shared-pids` it is an ordinary one, which AIM_INIT names.
// Never run bare: there the first process is the host's.
#include "attack.h"

int main(void) {
    const char *named = getenv("AIM_INIT");
    pid_t init = named ? atoi(named) : 1;
    if (!named && getpid() > 1000) {
        fprintf(stderr, "this is no sandbox: its first process is left alone\n");
        return 3;
    }
    // SIGTERM and its like are for the guard to pass on, and would end this process; they are not sent.
    int signals[] = {SIGSTOP, SIGTSTP, SIGSEGV, SIGBUS, SIGSYS, SIGILL, SIGALRM, SIGPIPE, SIGTRAP, SIGXCPU, SIGIO,
                     SIGCHLD, SIGCONT, SIGRTMIN, SIGRTMAX, SIGSTOP, SIGKILL};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        kill(init, signals[i]);
        syscall(SYS_tgkill, init, init, signals[i]);
        union sigval value = {0};
        sigqueue(init, signals[i], value);
        int process = syscall(SYS_pidfd_open, init, 0);
        syscall(SYS_pidfd_send_signal, process, signals[i], NULL, 0);
        close(process);
    }
    usleep(200000);
    if (kill(init, 0) == -1 && errno == ESRCH)
        succeeded("it is gone");
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", init);
    int fd = open(path, O_RDONLY);
    if (fd == -1 || read(fd, line, sizeof line - 1) <= 0)
        succeeded("it cannot be seen");
    char *state = strrchr(line, ')');
    if (state && strchr("TtZX", state[2]))
        succeeded("it was stopped");
    refused_as("unharmed");
    return verdict();
}
