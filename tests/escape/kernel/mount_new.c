// promise: 6
// tries: the newer mount calls, which take descriptors
// refused: EPERM
// record: call fsopen
// record: call open_tree
// record: call mount_setattr
// record: call move_mount
// proof: weakened capable
//
// Mounts need a capability, which `capable` leaves to the task, in a mount table of its own.
#include "attack.h"

int main(void) {
    attempt("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    attempt("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* clone */ | O_CLOEXEC));
    attempt("fspick", syscall(SYS_fspick, AT_FDCWD, "/", 0));
    uint64_t attr[4] = {0, 1 /* read-only */, 0, 0};
    attempt("mount_setattr", syscall(SYS_mount_setattr, AT_FDCWD, "/workspace", 0, attr, sizeof attr));
    attempt("move_mount", syscall(SYS_move_mount, AT_FDCWD, "/proc", AT_FDCWD, "/tmp", 0));
    return verdict();
}
