// promise: 8
// tries: memory that belongs to no process: System V segments
// refused: out_of_memory ENOSPC ENOMEM SIGBUS
// record: control memory
// needs: cgroups
// options: --memory 64MiB
// proof: bare
#include "attack.h"
#include <sys/ipc.h>
#include <sys/shm.h>

int main(void) {
    for (int i = 0; i < 16; i++) {
        int id = shmget(IPC_PRIVATE, 16 << 20, IPC_CREAT | 0600);
        if (id == -1) {
            attempt("a segment", -1);
            return verdict();
        }
        char *at = shmat(id, NULL, 0);
        // Gone with its last user, outside too.
        shmctl(id, IPC_RMID, NULL);
        memset(at, 'x', 16 << 20);
    }
    succeeded("256 MiB");
}
