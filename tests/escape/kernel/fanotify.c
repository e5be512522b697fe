// promise: 2
// tries: watching whole mounts
// refused: EPERM
// record: call fanotify_init
// proof: bare
#include "attack.h"

int main(void) {
    // With file handles instead of descriptors anybody may since 5.13.
    attempt("fanotify", syscall(SYS_fanotify_init, 0x200 /* report fid */, 0));
    attempt("fanotify with descriptors", syscall(SYS_fanotify_init, 0, 0));
    return verdict();
}
