/* What the cases need of a task that a shell cannot do. Static, since it lies in an image with nothing but busybox. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One line for each call: what it is called here, and the error, or 0. */
static void said(const char *name, long result) {
    printf("%s %d\n", name, result < 0 ? errno : 0);
}

#define CALL(name, ...) said(#name, syscall(SYS_##name, ##__VA_ARGS__))
#define NAMED(text, name, ...) said(text, syscall(SYS_##name, ##__VA_ARGS__))

static int calls(void) {
    CALL(mount, 0, 0, 0, 0, 0);
    CALL(umount2, "/tmp", 0);
    CALL(pivot_root, ".", ".");
    CALL(chroot, ".");
    CALL(unshare, 0);
    NAMED("unshare-user", unshare, CLONE_NEWUSER);
    CALL(setns, -1, 0);
    NAMED("clone-newuser", clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    NAMED("clone-newns", clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    NAMED("clone3", clone3, 0, 0);
    NAMED("keyctl", keyctl, 0, 0, 0);
    CALL(add_key, 0, 0, 0, 0, 0);
    CALL(request_key, 0, 0, 0, 0);
    CALL(bpf, -1, 0, 0);
    CALL(perf_event_open, 0, 0, 0, 0, 0);
    CALL(userfaultfd, 0);
    CALL(io_uring_setup, 0, 0);
    CALL(process_vm_readv, getpid(), 0, 0, 0, 0, 0);
    CALL(process_vm_writev, getpid(), 0, 0, 0, 0, 0);
    CALL(kcmp, getpid(), getpid(), 0, 0, 0);
    CALL(get_mempolicy, 0, 0, 0, 0, 0);
    CALL(mbind, 0, 0, 0, 0, 0, 0);
    CALL(open_by_handle_at, -1, 0, 0);
    CALL(fanotify_init, 0, 0);
    CALL(fsopen, 0, 0);
    CALL(move_mount, -1, 0, -1, 0, 0);
    CALL(quotactl, 0, 0, 0, 0);
    CALL(acct, 0);
    CALL(syslog, 10, 0, 0);
    CALL(sethostname, "x", 1);
    CALL(settimeofday, 0, 0);
    CALL(swapoff, 0);
    CALL(init_module, 0, 0, 0);
    CALL(kexec_load, 0, 0, 0, 0);
    CALL(vhangup);
#ifdef SYS_iopl
    CALL(iopl, 0);
    CALL(modify_ldt, 0, 0, 0);
#endif
    CALL(memfd_secret, 0);
    NAMED("personality-ask", personality, 0xffffffff);
    said("call-9999", syscall(9999));
    NAMED("personality-linux32", personality, 8);
    NAMED("personality-back", personality, 0);
    NAMED("personality-svr4", personality, 1);
    NAMED("prlimit-of-1", prlimit64, 1, RLIMIT_NOFILE, &(struct rlimit){64, 64}, 0);
    NAMED("prlimit-own", prlimit64, 0, RLIMIT_CORE, 0, &(struct rlimit){0, 0});
    NAMED("setpriority-own", setpriority, PRIO_PROCESS, 0, 1);
    NAMED("setpriority-user", setpriority, PRIO_USER, 0, 1);
    NAMED("tiocsti", ioctl, 0, 0x5412, "x");
    NAMED("tioclinux", ioctl, 0, 0x541c, "x");
    NAMED("traceme", ptrace, PTRACE_TRACEME, 0, 0, 0);
    return 0;
}

static int sockets(void) {
    struct { const char *name; int family, type, protocol; } each[] = {
        {"unix", AF_UNIX, SOCK_STREAM, 0},   {"inet-stream", AF_INET, SOCK_STREAM, 0},
        {"inet-dgram", AF_INET, SOCK_DGRAM, 0}, {"inet-raw", AF_INET, SOCK_RAW, 1},
        {"inet-packet", AF_INET, 10, 0},     {"inet6-stream", AF_INET6, SOCK_STREAM, 0},
        {"netlink-route", AF_NETLINK, SOCK_RAW, 0}, {"netlink-audit", AF_NETLINK, SOCK_RAW, 9},
        {"netlink-netfilter", AF_NETLINK, SOCK_RAW, 12}, {"packet", AF_PACKET, SOCK_RAW, 0},
        {"vsock", 40, SOCK_STREAM, 0},       {"alg", 38, SOCK_SEQPACKET, 0},
        {"bluetooth", 31, SOCK_RAW, 0},      {"xdp", 44, SOCK_RAW, 0},
    };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        said(each[i].name, socket(each[i].family, each[i].type, each[i].protocol));
    return 0;
}

/* Everything that a task might do to the first process of its sandbox. */
static int first(void) {
    char path[64], byte;
    const char *files[] = {"environ", "mem", "maps", "auxv", "io", "stack"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/1/%s", files[i]);
        int fd = open(path, O_RDONLY);
        long got = fd < 0 ? -1 : read(fd, &byte, 1);
        /* Nothing to read is as good as a refusal. */
        printf("read-%s %s\n", files[i], got > 0 ? "READ" : "no");
    }
    printf("write-mem %s\n", open("/proc/1/mem", O_RDWR) < 0 ? "no" : "OPENED");
    printf("look-root %s\n", readlink("/proc/1/root", path, sizeof path) < 0 ? "no" : "SEEN");
    printf("look-fd %s\n", open("/proc/1/fd/0", O_RDONLY) < 0 ? "no" : "OPENED");
    printf("attach %s\n", ptrace(PTRACE_ATTACH, 1, 0, 0) < 0 ? "no" : "ATTACHED");
    printf("seize %s\n", ptrace(PTRACE_SEIZE, 1, 0, 0) < 0 ? "no" : "SEIZED");
    fflush(stdout);
    int each[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGALRM, SIGABRT, SIGSEGV, SIGSTOP, SIGKILL};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) kill(1, each[i]);
    usleep(300 * 1000);
    puts("alive");
    return 0;
}

static int eat(long megabytes) {
    for (long i = 0; i < megabytes; i++) {
        char *piece = malloc(1 << 20);
        if (!piece) { puts("refused"); return 9; }
        memset(piece, 1, 1 << 20);
    }
    puts("eaten");
    return 0;
}

/* As many children as there can be, each asleep. */
static int forks(long most, int end) {
    long count = 0;
    while (count < most) {
        int child = fork();
        if (child < 0) break;
        if (child == 0) { pause(); _exit(0); }
        count++;
    }
    printf("forked %ld errno %d\n", count, errno);
    fflush(stdout);
    if (end) return 0;
    pause();
    return 1;
}

static void bomb(void) {
    puts("bomb");
    fflush(stdout);
    for (;;) fork();
}

static double now(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

/* Burns for so long in as many processes; says how much of a processor they got together. */
static int spin(double seconds, int processes) {
    double from = now(CLOCK_MONOTONIC);
    for (int i = 0; i < processes; i++)
        if (fork() == 0) {
            while (now(CLOCK_MONOTONIC) - from < seconds) {}
            _exit(0);
        }
    while (wait(0) > 0) {}
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("thousandths %d\n", (int)(cpu / (now(CLOCK_MONOTONIC) - from) * 1000));
    return 0;
}

/* Bytes of every value, none of which a terminal or a text reader would leave alone. */
static int pattern(int to, long bytes) {
    static unsigned char piece[65536];
    unsigned state = to;
    while (bytes > 0) {
        long part = bytes < (long)sizeof piece ? bytes : (long)sizeof piece;
        for (long i = 0; i < part; i++) {
            state = state * 1103515245 + 12345;
            piece[i] = state >> 16;
        }
        for (long at = 0; at < part;) {
            long wrote = write(to, piece + at, part - at);
            if (wrote < 0) return 8;
            at += wrote;
        }
        bytes -= part;
    }
    return 0;
}

static int reach(const char *address, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {2, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    said("connect", connect(fd, (void *)&to, sizeof to));
    int datagram = socket(AF_INET, SOCK_DGRAM, 0);
    said("send", sendto(datagram, "x", 1, 0, (void *)&to, sizeof to));
    return 0;
}

/* The loopback is the sandbox's own, and works. */
static int loopback(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    char byte = 0;
    if (bind(server, (void *)&at, sizeof at) || listen(server, 1) || getsockname(server, (void *)&at, &length)) return 2;
    if (connect(client, (void *)&at, sizeof at)) return 3;
    int other = accept(server, 0, 0);
    if (write(client, "y", 1) != 1 || read(other, &byte, 1) != 1 || byte != 'y') return 4;
    puts("loopback");
    return 0;
}

static int place(const char *path) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strncpy(at.sun_path, path, sizeof at.sun_path - 1);
    return bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&at, sizeof at) ? 1 : 0;
}

/* Objects that live on without a process, by fixed names: another run must not find them. */
static int ipc(void) {
    int id = syscall(SYS_shmget, 0x41d0, 4096, 0);
    printf("before %s\n", id < 0 ? "none" : "FOUND");
    id = syscall(SYS_shmget, 0x41d0, 4096, 01600);
    printf("made %s\n", id < 0 ? "no" : "yes");
    return 0;
}

/* With a signal's own death, not a shell's account of it. */
static int raise_it(int number) {
    signal(number, SIG_DFL);
    raise(number);
    pause();
    return 0;
}

int main(int count, char **words) {
    const char *job = count > 1 ? words[1] : "";
    long number = count > 2 ? atol(words[2]) : 0;
    setvbuf(stdout, 0, _IOLBF, 0);
    if (!strcmp(job, "calls")) return calls();
    if (!strcmp(job, "sockets")) return sockets();
    if (!strcmp(job, "first")) return first();
    if (!strcmp(job, "eat")) return eat(number);
    if (!strcmp(job, "forks")) return forks(number, count > 3);
    if (!strcmp(job, "bomb")) bomb();
    if (!strcmp(job, "spin")) return spin(atof(words[2]), count > 3 ? atoi(words[3]) : 2);
    if (!strcmp(job, "pattern")) return pattern(number, atol(words[3]));
    if (!strcmp(job, "reach")) return reach(words[2], atoi(words[3]));
    if (!strcmp(job, "loopback")) return loopback();
    if (!strcmp(job, "place")) return place(words[2]);
    if (!strcmp(job, "ipc")) return ipc();
    if (!strcmp(job, "raise")) return raise_it(number);
    if (!strcmp(job, "ids")) {
        uid_t real, effective, saved;
        getresuid(&real, &effective, &saved);
        printf("%d %d %d\n", real, effective, saved);
        return 0;
    }
    if (!strcmp(job, "args")) {
        for (int i = 2; i < count; i++) {
            fwrite(words[i], 1, strlen(words[i]) + 1, stdout);
        }
        return 0;
    }
    return 99;
}
