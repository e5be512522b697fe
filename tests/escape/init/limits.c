// promise: 3
// tries: setting limits on aido's first process, so that the kernel ends it for its processor time
// refused: EPERM EACCES
// record: control processes
// proof: weakened open-init
//
// It runs under the task's own id, which is all that the kernel asks for here.
#include "attack.h"
#include <sys/resource.h>

int main(void) {
    struct rlimit now;
    attempt("descriptors", prlimit(1, RLIMIT_NOFILE, NULL, &now) == -1 ? -1 : prlimit(1, RLIMIT_NOFILE, &now, NULL));
    attempt("processor time", prlimit(1, RLIMIT_CPU, NULL, &now) == -1 ? -1 : prlimit(1, RLIMIT_CPU, &now, NULL));
    return verdict();
}
