// promise: 4
// tries: the terminal behind a standard input that is passed on (-i)
// refused: ENXIO ENOENT ENOTTY EPERM EACCES EIO
// record: control environment
// proof: weakened with-terminal
// around: with-terminal
// options: -i
//
// `with-terminal` runs what it is given with a terminal of its own; inside of aido nothing of it may be left.
#include "attack.h"
#include <sys/ioctl.h>

int main(void) {
    for (int fd = 0; fd < 3; fd++)
        attempt("a stream", isatty(fd) ? 0 : -1);
    attempt("/dev/tty", open("/dev/tty", O_RDWR));
    attempt("/dev/console", open("/dev/console", O_RDWR | O_NOCTTY));
    attempt("taking it", ioctl(0, TIOCSCTTY, 1));
    attempt("its size", ioctl(0, TIOCSWINSZ, &(struct winsize){1, 1, 0, 0}));
    return verdict();
}
