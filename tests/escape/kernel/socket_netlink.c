// promise: 2
// tries: netlink protocols other than routing: audit, netfilter, device events, crypto
// refused: EPERM EPROTONOSUPPORT
// record: call socket
// proof: bare
#include "attack.h"
#include <sys/socket.h>

int main(void) {
    for (int protocol = 1; protocol < 32; protocol++)
        attempt("netlink", socket(AF_NETLINK, SOCK_RAW, protocol));
    return verdict();
}
