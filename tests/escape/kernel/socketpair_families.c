// promise: 2
// tries: pairs of forbidden families, which the kernel makes before it asks whether they can be paired
// refused: EPERM
// record: call socketpair
// proof: bare
//
// Of no other family a pair comes back; `reached` is when the kernel says so itself.
#include "attack.h"
#include <sys/socket.h>

int main(void) {
    for (int family = 2; family < 64; family++) {
        int pair[2];
        if (socketpair(family, SOCK_DGRAM, 0, pair) == 0 || errno == EOPNOTSUPP)
            succeeded("the kernel made the sockets");
        attempt("a pair", -1);
    }
    return verdict();
}
