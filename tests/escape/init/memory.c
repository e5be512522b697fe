// promise: 3
// tries: the memory of aido's first process: /proc/1/mem, also through its task folder, for reading and writing
// refused: EACCES EPERM EROFS
// record: control processes
// proof: weakened open-init
#include "attack.h"

int main(void) {
    attempt("reading", open("/proc/1/mem", O_RDONLY));
    attempt("writing", open("/proc/1/mem", O_RDWR));
    attempt("by its thread", open("/proc/1/task/1/mem", O_RDONLY));
    attempt("maps", open("/proc/1/maps", O_RDONLY) == -1 ? -1 : (long)0);
    return verdict();
}
