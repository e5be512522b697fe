// What the attacks in C share. An attack tries things; the first that works ends it as `SUCCEEDED`, and when all
// were refused it says with which errors.
#ifndef ATTACK_H
#define ATTACK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static char attack_seen[1024];

static inline void succeeded(const char *what) {
    printf("SUCCEEDED %s\n", what);
    fflush(stdout);
    _exit(0);
}

// Notes one way in which it was refused: the name of an errno, or a word such as `hidden`.
static inline void refused_as(const char *how) {
    char word[64];
    snprintf(word, sizeof word, " %s ", how);
    if (!strstr(attack_seen, word) && strlen(attack_seen) + strlen(word) < sizeof attack_seen)
        strcat(attack_seen, word);
}

// A call that has failed with -1 was refused; any other value is success. Each error is told once.
static inline long attempt(const char *what, long result) {
    if (result != -1)
        succeeded(what);
    const char *name = strerrorname_np(errno);
    size_t before = strlen(attack_seen);
    refused_as(name ? name : "?");
    if (strlen(attack_seen) > before)
        fprintf(stderr, "%s: %s\n", what, name ? name : "?");
    return result;
}

static inline int verdict(void) {
    printf("REFUSED");
    for (char *word = strtok(attack_seen, " "); word; word = strtok(NULL, " "))
        printf(" %s", word);
    printf("\n");
    fflush(stdout);
    return 1;
}

// What the tests tell of the host: AIM_TCP, AIM_HOME and so on.
static inline const char *aim(const char *name) {
    const char *value = getenv(name);
    if (!value) {
        fprintf(stderr, "%s is not set\n", name);
        exit(3);
    }
    return value + (*value == '@'); // A path of the host.
}

// In a child, since it may change that process for good: 0, or the errno that `act` returns. A child that a
// signal ended was refused by that signal; this then ends the attack the same way.
static inline long in_child(const char *what, int (*act)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(act());
    if (pid == -1) {
        perror("no child to try it in");
        exit(3); // No verdict.
    }
    int status = 0;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    errno = WEXITSTATUS(status);
    return attempt(what, errno ? -1 : 0);
}
#endif
