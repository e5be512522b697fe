// promise: 5
// tries: opening an input a second time for writing, through its descriptor
// refused: EROFS EACCES EXDEV ENOENT EPERM
// record: control read-only
// proof: bare
#include "attack.h"

int main(void) {
    char path[64], there[256];
    const char *names[] = {"input", "/proc/self/exe"};
    for (int i = 0; i < 2; i++) {
        int fd = open(names[i], O_RDONLY), through = open(names[i], O_PATH);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        attempt("through a descriptor", open(path, O_RDWR));
        attempt("chmod through it", chmod(path, 0777));
        attempt("truncate through it", truncate(path, 0));
        snprintf(path, sizeof path, "/proc/self/fd/%d", through);
        attempt("through a path descriptor", open(path, O_WRONLY | O_APPEND));
        snprintf(there, sizeof there, "%s/linked-%d", aim("AIM_TMP"), i);
        attempt("a link where it may write", linkat(AT_FDCWD, path, AT_FDCWD, there, AT_SYMLINK_FOLLOW));
        attempt("a link by descriptor", linkat(fd, "", AT_FDCWD, there, AT_EMPTY_PATH));
    }
    return verdict();
}
