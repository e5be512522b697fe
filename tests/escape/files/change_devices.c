// promise: 5
// tries: modes, owners and times of the host's device nodes, which are shown to the task
// refused: EROFS EPERM EACCES
// record: control read-only
// proof: bare-root
//
// Everything is set to what it is already.
#include "attack.h"

int main(void) {
    const char *nodes[] = {"/dev/null", "/dev/zero", "/dev/urandom", "/dev/tty"};
    for (int i = 0; i < 4; i++) {
        struct stat now;
        if (stat(nodes[i], &now) == -1)
            continue;
        attempt("mode", chmod(nodes[i], now.st_mode & 07777));
        attempt("owner", chown(nodes[i], now.st_uid, now.st_gid));
        struct timespec same[2] = {now.st_atim, now.st_mtim};
        attempt("times", utimensat(AT_FDCWD, nodes[i], same, 0));
    }
    return verdict();
}
