// promise: 7
// tries: the way to the machine's hypervisor (AF_VSOCK), which no network namespace divides
// refused: EPERM
// record: call socket
// proof: bare
// lacks: EAFNOSUPPORT
#include "attack.h"
#include <sys/socket.h>

int main(void) {
    attempt("stream", socket(AF_VSOCK, SOCK_STREAM, 0));
    attempt("datagram", socket(AF_VSOCK, SOCK_DGRAM, 0));
    return verdict();
}
