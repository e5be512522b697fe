// promise: 5
// tries: changing an input by rarer calls: truncate, fallocate, shared writable map, exchange, attributes, flags
// refused: EROFS EACCES EPERM EXDEV ENOTTY EOPNOTSUPP
// record: control read-only
// proof: bare
#include "attack.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/xattr.h>

int main(void) {
    attempt("open for writing", open("input", O_RDWR));
    attempt("open to truncate", open("input", O_RDONLY | O_TRUNC));
    attempt("truncate", truncate("input", 0));
    attempt("a file without a name", open(".", O_TMPFILE | O_RDWR, 0600));
    int fd = open("input", O_RDONLY);
    if (mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
        succeeded("a writable map");
    attempt("a writable map", -1);
    void *map = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    attempt("a map made writable", mprotect(map, 1, PROT_READ | PROT_WRITE));
    attempt("exchange", syscall(SYS_renameat2, AT_FDCWD, "input", AT_FDCWD, "folder/inner", 2));
    attempt("an attribute", setxattr("input", "user.aido", "x", 1, 0));
    attempt("fchmod", fchmod(fd, 0777));
    attempt("owner", fchown(fd, getuid(), getgid()));
    attempt("times", futimens(fd, NULL));
    int flags = FS_APPEND_FL;
    attempt("flags", ioctl(fd, FS_IOC_SETFLAGS, &flags));
    attempt("hard link", link("input", "folder/linked"));
    return verdict();
}
