// promise: 4
// tries: reaching the caller through its three streams: reading output back, other files behind them, terminals
// refused: EBADF EACCES EPERM ENOTTY EINVAL ESPIPE ENXIO ENOENT EROFS none-found
// record: control environment
// proof: bare
//
// Outside the output is a file of the caller, which can be opened anew and read.
#include "attack.h"
#include <sys/ioctl.h>

int main(void) {
    struct stat it;
    for (int fd = 0; fd < 3; fd++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (fstat(fd, &it) == 0 && S_ISREG(it.st_mode))
            attempt("its file again", open(path, O_RDWR));
        attempt("a terminal", isatty(fd) ? 0 : -1);
        attempt("its place", lseek(fd, 0, SEEK_CUR) > 0 ? 0 : -1);
    }
    attempt("the terminal", open("/dev/tty", O_RDWR));
    refused_as("none-found");
    return verdict();
}
