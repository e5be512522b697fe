// promise: 7
// tries: raw and packet sockets, also the old packet type hidden in the internet family
// refused: EPERM
// record: call socket
// record: control network
// proof: weakened capable
//
// They need a capability, which `capable` leaves to the task.
#include "attack.h"
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <sys/socket.h>

int main(void) {
    attempt("packet", socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
    attempt("old packet", socket(AF_INET, SOCK_PACKET, htons(ETH_P_ALL)));
    attempt("icmp", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    attempt("raw", socket(AF_INET, SOCK_RAW, IPPROTO_RAW));
    attempt("raw 6", socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
    return verdict();
}
