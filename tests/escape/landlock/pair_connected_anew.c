// promise: 7
// tries: without namespaces: an end of a pair, which may be made, connected anew or sent from to a socket of the host
// refused: EPERM EACCES EISCONN EINVAL
// record: call socketpair
// record: control network
// options: --isolation landlock
// only: host this second mechanism has no image roots
// proof: bare
//
// This hole was open once: datagrams reached every socket file of the host.
#include "attack.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un named(const char *path) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strncpy(at.sun_path, path, sizeof at.sun_path - 1);
    return at;
}

int main(void) {
    int ends[2];
    struct sockaddr_un packets = named(aim("AIM_DATAGRAMS")), stream = named(aim("AIM_SOCKET"));
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0) {
        attempt("sending", sendto(ends[0], "x", 1, 0, (struct sockaddr *)&packets, sizeof packets));
        attempt("connecting", connect(ends[0], (struct sockaddr *)&packets, sizeof packets));
    } else {
        attempt("a pair for packets", -1);
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0) {
        attempt("a stream", connect(ends[0], (struct sockaddr *)&stream, sizeof stream));
        // Parted first: shut down, unconnected by an address of no family.
        shutdown(ends[0], SHUT_RDWR);
        struct sockaddr none = {.sa_family = AF_UNSPEC};
        connect(ends[0], &none, sizeof none);
        attempt("a parted stream", connect(ends[0], (struct sockaddr *)&stream, sizeof stream));
    }
    return verdict();
}
