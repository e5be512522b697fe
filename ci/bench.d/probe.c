/* The task of ci/bench: static, does one thing by its first argument, and says how long it took where that counts. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* getppid COUNT: nanoseconds of one call. */
static int calls(long count)
{
    double start = now();
    for (long i = 0; i < count; i++)
        syscall(SYS_getppid);
    printf("%.2f\n", (now() - start) * 1e9 / count);
    return 0;
}

/* lines BYTES: as many bytes of lines of a log, by writes of 64 KiB. */
static int lines(long bytes)
{
    static char buffer[65536];
    size_t filled = 0;
    for (long n = 0; filled + 80 < sizeof buffer; n++)
        filled += sprintf(buffer + filled, "2026-01-01T00:00:00Z worker[%05ld] did unit %ld of the job, all well\n", n % 99999, n * 7919);
    while (bytes > 0) {
        size_t most = bytes < (long)filled ? (size_t)bytes : filled;
        ssize_t written = write(1, buffer, most);
        if (written <= 0)
            return 1;
        bytes -= written;
    }
    return 0;
}

/* build FOLDER PROCESSES FILES: short processes and small files; seconds that they took. */
static int build(const char *self, const char *folder, long processes, long files)
{
    extern char **environ;
    char name[64], content[1024];
    char *command[] = {(char *)self, "true", NULL};
    memset(content, 'x', sizeof content);
    if (chdir(folder))
        return 1;
    double start = now();
    for (long i = 0; i < files; i++) {
        if (i % 200 == 0) {
            snprintf(name, sizeof name, "d%ld", i / 200);
            if (mkdir(name, 0755))
                return 1;
        }
        snprintf(name, sizeof name, "d%ld/f%ld", i / 200, i);
        int file = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
        if (file < 0 || write(file, content, sizeof content) != sizeof content || close(file))
            return 1;
        if (processes > 0 && i % (files / processes) == 0) {
            pid_t child;
            int status;
            if (posix_spawn(&child, self, NULL, NULL, command, environ) || waitpid(child, &status, 0) != child || status)
                return 1;
        }
    }
    printf("%.6f\n", now() - start);
    return 0;
}

int main(int count, char **given)
{
    const char *what = count > 1 ? given[1] : "true";
    if (!strcmp(what, "true"))
        return 0;
    if (!strcmp(what, "getppid") && count == 3)
        return calls(atol(given[2]));
    if (!strcmp(what, "lines") && count == 3)
        return lines(atol(given[2]));
    if (!strcmp(what, "build") && count == 5)
        return build("/proc/self/exe", given[2], atol(given[3]), atol(given[4]));
    if (!strcmp(what, "sleep") && count == 3) {
        sleep(atol(given[2]));
        return 0;
    }
    return 2;
}
