// promise: 2
// tries: a forbidden family behind bits that the kernel drops
// refused: EPERM
// record: call socket
// proof: bare
#include "attack.h"
#include <sys/socket.h>

int main(void) {
    for (int bit = 32; bit < 64; bit += 3)
        attempt("AF_VSOCK", syscall(SYS_socket, (1UL << bit) | AF_VSOCK, SOCK_STREAM, 0));
    return verdict();
}
