// promise: 8
// tries: more bytes than the disk bound, in each writable place, as holes filled later too
// refused: ENOSPC EDQUOT EFBIG
// record: control disk
// options: --disk 1MiB
// proof: bare
#include "attack.h"

int main(void) {
    static char block[1 << 16];
    const char *places[] = {aim("AIM_TMP"), aim("AIDO_OUTPUTS"), getenv("HOME")};
    char path[4096];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/big", places[i]);
        int fd = open(path, O_CREAT | O_RDWR, 0600);
        attempt("set aside", fallocate(fd, 0, 0, 8 << 20));
        if (ftruncate(fd, 8 << 20) == -1)
            attempt("a hole", -1);
        for (int at = 0; at < 128; at++)
            if (pwrite(fd, block, sizeof block, at * (long)sizeof block) == -1) {
                attempt("filling it", -1);
                break;
            } else if (at == 127)
                succeeded("8 MiB");
        close(fd);
        unlink(path);
    }
    return verdict();
}
