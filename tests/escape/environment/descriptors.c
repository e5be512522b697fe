// promise: 4
// tries: descriptors that the caller left open: a file and a folder of the home
// refused: EBADF ENOENT
// record: control environment
// proof: bare
#include "attack.h"

int main(void) {
    char path[64], to[256], byte;
    for (int fd = 3; fd < 1024; fd++) {
        attempt("a descriptor", fcntl(fd, F_GETFD));
        attempt("a file beneath it", openat(fd, "secret", O_RDONLY));
        attempt("reading it", read(fd, &byte, 1));
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        attempt("its name", readlink(path, to, sizeof to));
    }
    return verdict();
}
