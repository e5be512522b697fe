// promise: 8
// tries: more threads than it was given processes
// refused: EAGAIN
// record: limit pids
// record: control pids
// needs: cgroups
// options: --pids 20
// proof: bare
#include "attack.h"
#include <pthread.h>

static void *wait_for_ever(void *nothing) {
    pause();
    return nothing;
}

int main(void) {
    pthread_t thread;
    for (int i = 0; i < 60; i++) {
        errno = pthread_create(&thread, NULL, wait_for_ever, NULL);
        if (errno) {
            attempt("a thread", -1);
            return verdict();
        }
    }
    succeeded("60 threads");
}
