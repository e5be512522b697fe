// promise: 5
// tries: opening programs, libraries and settings of the root for writing
// refused: EROFS EACCES ENOENT ETXTBSY EPERM
// record: control read-only
// proof: bare-root
//
// Nothing is written, and the new files have no name. Outside, only root may.
#include "attack.h"

int main(void) {
    const char *files[] = {"/etc/passwd", "/etc/ld.so.cache", "/etc/hosts", "/bin/busybox", "/usr/bin/env", "/bin/sh"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        attempt(files[i], open(files[i], O_WRONLY));
    const char *folders[] = {"/", "/usr", "/usr/bin", "/bin", "/etc", "/lib", "/dev", "/proc", "/usr/local/bin"};
    for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++)
        attempt(folders[i], open(folders[i], O_TMPFILE | O_WRONLY, 0600));
    return verdict();
}
