// promise: 2
// tries: answering its own forbidden calls as a listener would, with `continue`
// refused: EPERM EBUSY
// record: call unshare
// proof: bare
//
// Of several answers the kernel takes the strictest, and a process has one listener at most. Where the second
// listener is refused, the call itself is tried all the same.
#include "attack.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <pthread.h>

static void *answer(void *at) {
    int listener = *(int *)at;
    for (;;) {
        struct seccomp_notif asked = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) == -1)
            return NULL;
        struct seccomp_notif_resp given = {.id = asked.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &given);
    }
}

int main(void) {
    struct sock_filter ask[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, ask};
    pthread_t thread;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (listener == -1)
        attempt("a listener", -1);
    else
        pthread_create(&thread, NULL, answer, &listener);
    // A thread cannot make a user namespace while others live beside it; a child can.
    pid_t child = fork();
    if (child == 0)
        _exit(unshare(CLONE_NEWUSER) == -1 ? errno : 0);
    int status;
    waitpid(child, &status, 0);
    errno = WEXITSTATUS(status);
    attempt("unshare", errno ? -1 : 0);
    return verdict();
}
