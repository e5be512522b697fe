// promise: 2
// tries: sockets of all families but the four allowed, where most socket holes were found
// refused: EPERM
// record: call socket
// proof: bare
//
// A family that the kernel does not know is tried all the same: the filter must not ask the kernel.
#include "attack.h"
#include <sys/socket.h>

int main(void) {
    int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET};
    for (int family = 0; family < 64; family++) {
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
            continue;
        for (int i = 0; i < 4; i++)
            attempt("a socket", socket(family, kinds[i], 0));
    }
    return verdict();
}
