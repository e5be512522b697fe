// promise: 6
// tries: mounting, remounting, unmounting and changing propagation by the old calls
// refused: EPERM
// record: call mount
// record: call umount2
// proof: weakened capable
//
// Mounts need a capability, which `capable` leaves to the task, in a mount table of its own.
#include "attack.h"
#include <sys/mount.h>

int main(void) {
    attempt("a tmpfs", mount("none", "/tmp", "tmpfs", 0, NULL));
    attempt("a bind mount", mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL));
    attempt("a remount", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    attempt("propagation", mount(NULL, "/", NULL, MS_SHARED | MS_REC, NULL));
    attempt("an overlay", mount("none", "/tmp", "overlay", 0, "lowerdir=/,upperdir=/tmp,workdir=/tmp"));
    attempt("proc", mount("none", "/tmp", "proc", 0, NULL));
    attempt("unmounting /proc", umount2("/proc", MNT_DETACH));
    attempt("unmounting /workspace", umount2("/workspace", MNT_DETACH));
    return verdict();
}
