// promise: 5
// tries: without namespaces: writing, making, linking, moving and removing files of the host, through all that it may open
// refused: EACCES EPERM EXDEV EROFS ENOENT EBADF EINVAL EISDIR ENOTSUP EOPNOTSUPP ENXIO
// record: control read-only
// options: --isolation landlock
// only: host this second mechanism has no image roots
// proof: bare
//
// What succeeds outside is an appended nothing: the first attempt opens only.
#include "attack.h"
#include <sys/mman.h>

int main(void) {
    char path[4096], mine[4096], host[4096];
    snprintf(host, sizeof host, "%s/secret", aim("AIM_HOME"));
    snprintf(mine, sizeof mine, "%s/mine", aim("AIDO_OUTPUTS"));
    attempt("a file of the home", open(host, O_WRONLY));
    attempt("an input", open("input", O_WRONLY | O_APPEND));
    attempt("an input to truncate", open("input", O_RDONLY | O_TRUNC));
    attempt("to truncate, by openat", openat(AT_FDCWD, "input", O_RDONLY | O_TRUNC));
    attempt("truncate", truncate("input", 0));
    attempt("truncate in the home", truncate(host, 0));
    int fd = open("input", O_RDONLY);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    attempt("through a descriptor", open(path, O_RDWR));
    attempt("fallocate", fallocate(fd, 0, 0, 1));
    attempt("ftruncate", ftruncate(fd, 0));
    if (mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
        succeeded("a map");
    attempt("a map", -1);
    snprintf(path, sizeof path, "%s/new", aim("AIM_HOME"));
    attempt("a new file", open(path, O_CREAT | O_WRONLY, 0600));
    attempt("a new folder", mkdir(path, 0700));
    attempt("a pipe", mkfifo(path, 0600));
    attempt("a symlink", symlink("x", path));
    attempt("a file without a name", open(aim("AIM_HOME"), O_TMPFILE | O_RDWR, 0600));
    attempt("in /tmp", open("/tmp", O_TMPFILE | O_RDWR, 0600));
    const char *devices[] = {"/dev/tty", "/dev/pts/0", "/dev/pts/1", "/dev/ptmx", "/dev/console", "/dev/kmsg", "/dev/fuse"};
    for (int i = 0; i < 7; i++)
        attempt(devices[i], open(devices[i], O_WRONLY | O_NOCTTY));
    attempt("shared memory", open("/dev/shm/aido-escape", O_CREAT | O_RDWR, 0600));
    attempt("a link out of the home", link(host, mine));
    attempt("moving out of the home", rename(host, mine));
    attempt("removing", unlink(host));
    attempt("removing an input", unlink("folder/inner"));
    // What is its own, moved out; and a link of its own, followed.
    int own = open(mine, O_CREAT | O_RDWR, 0600);
    attempt("moving into the home", rename(mine, path));
    attempt("a link into the home", link(mine, path));
    snprintf(path, sizeof path, "%s/through", aim("AIDO_OUTPUTS"));
    if (symlink(host, path) == 0)
        attempt("through a link of its own", open(path, O_WRONLY));
    unlink(path);
    unlink(mine);
    close(own);
    return verdict();
}
