// promise: 13
// tries: giving aido's first process a second child (CLONE_PARENT), which ends well before the task ends badly
// refused: true-status
// record: end exited 9
// proof: weakened first-child
// judge: status
//
// `first-child` takes the first child that ends for the task.
#include "attack.h"

int main(void) {
    for (int i = 0; i < 5; i++)
        if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL) == 0)
            _exit(0);
    usleep(300000);
    _exit(9);
}
