// promise: 5
// tries: without namespaces: modes, owners, times, attributes and flags of inputs and of files of the home
// refused: EACCES EPERM ENOTTY EOPNOTSUPP ENOSYS EBADF EINVAL
// record: call fchmod
// record: call utimensat
// record: call fsetxattr
// record: control read-only
// options: --isolation landlock
// only: host this second mechanism has no image roots
// proof: bare
#include "attack.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/xattr.h>

int main(void) {
    char host[4096];
    snprintf(host, sizeof host, "%s/secret", aim("AIM_HOME"));
    int fd = open("input", O_RDONLY);
    struct stat it;
    fstat(fd, &it);
    attempt("fchmod", fchmod(fd, it.st_mode & 0777));
    attempt("chmod", chmod(host, 0600));
    attempt("fchmodat2", syscall(452, AT_FDCWD, host, 0600, 0));
    attempt("fchown", fchown(fd, it.st_uid, it.st_gid));
    attempt("chown", lchown(host, it.st_uid, it.st_gid));
    attempt("times", futimens(fd, NULL));
    attempt("times by name", utimensat(AT_FDCWD, host, NULL, 0));
    attempt("an attribute", fsetxattr(fd, "user.aido", "x", 1, 0));
    attempt("an attribute by name", lsetxattr(host, "user.aido", "x", 1, 0));
    attempt("removing one", fremovexattr(fd, "user.aido"));
    // These ask for no descriptor that was opened for writing.
    int flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_NODUMP_FL;
        attempt("flags", ioctl(fd, FS_IOC_SETFLAGS, &flags));
    }
    struct fsxattr more;
    if (ioctl(fd, FS_IOC_FSGETXATTR, &more) == 0) {
        more.fsx_xflags |= FS_XFLAG_NODUMP;
        attempt("extended flags", ioctl(fd, FS_IOC_FSSETXATTR, &more));
    }
    int version = 7;
    attempt("version", ioctl(fd, FS_IOC_SETVERSION, &version));
    attempt("a lease", fcntl(fd, F_SETLEASE, F_RDLCK));
    return verdict();
}
