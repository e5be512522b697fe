// Changes paths, arguments and addresses while the supervisor reads them, takes their pages away, and does so under
// signals. Nothing of it may hold up, mislead or end whoever reads.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *page;
static volatile int over;

static void *change(void *unused) {
    static const char *paths[] = {"/tmp/pipe", "/usr/x", "/proc/self/mem", "/proc/self/fd/0", "/tmp/../usr/y", "/dev/tty",
                                  "/tmp/round/x", "/proc/1/root/etc/passwd", "/proc/kcore", "tmp", ""};
    for (unsigned n = 0; !over; n++) {
        if (n % 64 == 0) {
            madvise(page, 4096, MADV_DONTNEED);
        } else if (n % 65 == 0) {
            mprotect(page, 4096, PROT_NONE);
            mprotect(page, 4096, PROT_READ | PROT_WRITE);
        } else if (n % 66 == 0) {
            memset(page, '/', 4096);
        } else {
            strcpy(page, paths[n % (sizeof paths / sizeof *paths)]);
        }
    }
    return unused;
}

static void signalled(int number) { (void)number; }

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) return 0;
    page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    mkfifo("/tmp/pipe", 0600);
    symlink("round", "/tmp/round");
    struct sigaction act = {.sa_handler = signalled, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &act, NULL);
    struct itimerval often = {{0, 700}, {0, 700}};
    setitimer(ITIMER_REAL, &often, NULL);
    pthread_t other;
    // Faults of the other thread's own are its own affair.
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    if (pthread_create(&other, NULL, change, NULL)) return 2;
    long interrupted = 0, calls = 0;
    int socket_ = socket(AF_UNIX, SOCK_STREAM, 0);
    for (time_t end = time(NULL) + 3; time(NULL) < end; calls++) {
        int fd = open(page, O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY, 0600);
        interrupted += fd < 0 && errno == EINTR;
        if (fd > 2) close(fd);
        interrupted += mkdir("/tmp/folder", 0700) && errno == EINTR;
        interrupted += rmdir("/tmp/folder") && errno == EINTR;
        connect(socket_, (struct sockaddr *)page, calls % 200);
        renameat(AT_FDCWD, page, 7, page + 4000);
        if (calls % 64 == 0) {
            pid_t child = vfork();
            if (child == 0) {
                char *args[] = {page, page + 4090, (char *)8, page, NULL};
                execve(page, calls % 128 ? args : (char **)(page + 4088), NULL);
                char *sane[] = {"race", "child", NULL};
                execve("/proc/self/exe", sane, NULL);
                _exit(1);
            }
            if (child > 0) waitpid(child, NULL, 0);
        }
    }
    over = 1;
    pthread_join(other, NULL);
    printf("calls %s, interrupted %ld\n", calls > 100 ? "many" : "few", interrupted);
    return 0;
}
