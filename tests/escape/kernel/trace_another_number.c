// promise: 2
// tries: a tracer that turns an allowed call of its child into a forbidden one
// refused: EPERM
// record: call unshare
// proof: bare
#include "attack.h"
#include <sys/ptrace.h>
#include <sys/user.h>
#include <linux/elf.h>
#include <sys/uio.h>

int main(void) {
#ifdef __x86_64__
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        // Number and argument as they will be after the tracer has been here.
        long result = syscall(SYS_getppid, CLONE_NEWUSER);
        _exit(result < 0 ? errno : 0);
    }
    int status;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    for (;;) {
        ptrace(PTRACE_SYSCALL, child, 0, 0);
        if (waitpid(child, &status, 0) == -1 || WIFEXITED(status) || WIFSIGNALED(status))
            break;
        struct user_regs_struct registers;
        ptrace(PTRACE_GETREGS, child, 0, &registers);
        if (WSTOPSIG(status) == (SIGTRAP | 0x80) && registers.orig_rax == SYS_getppid) {
            registers.orig_rax = SYS_unshare;
            ptrace(PTRACE_SETREGS, child, 0, &registers);
        }
    }
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
    attempt("unshare in disguise", errno ? -1 : 0);
#else
    attempt("unshare", unshare(CLONE_NEWUSER)); // The disguise is written for x86 only.
#endif
    return verdict();
}
