// promise: 2
// tries: device nodes of its own: null, memory, disks, in every writable place
// refused: EPERM EACCES EROFS
// record: control privileges
// proof: bare-root
#include "attack.h"
#include <sys/sysmacros.h>

int main(void) {
    const char *places[] = {aim("AIM_TMP"), aim("AIDO_OUTPUTS"), getenv("HOME")};
    char path[4096];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/aido-node", places[i]);
        attempt("null", mknod(path, S_IFCHR | 0600, makedev(1, 3)));
        attempt("memory", mknod(path, S_IFCHR | 0600, makedev(1, 1)));
        attempt("a disk", mknod(path, S_IFBLK | 0600, makedev(8, 0)));
    }
    return verdict();
}
