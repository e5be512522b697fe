// promise: 2
// tries: a BPF map in the kernel
// refused: EPERM
// record: call bpf
// proof: bare-root
//
// Most hosts let nobody but root make one; the filter refuses both alike.
#include "attack.h"

int main(void) {
    unsigned int attr[32] = {2 /* array */, 4, 8, 1};
    attempt("a map", syscall(SYS_bpf, 0, attr, sizeof attr));
    return verdict();
}
