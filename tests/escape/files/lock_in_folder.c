// promise: 5
// tries: a lock or lease on a file of an input folder that the host's own programs would wait for
// refused: a-lock-of-its-own
// record: control read-only
// proof: bare
//
// The tests hold a lock on `input`. Who feels it stands on the same file as the host, and could hold the host up.
#include "attack.h"
#include <sys/file.h>

int main(void) {
    int fd = open("input", O_RDONLY);
    if (flock(fd, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK)
        succeeded("the host's lock is felt");
    refused_as("a-lock-of-its-own");
    return verdict();
}
