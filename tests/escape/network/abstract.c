// promise: 7
// tries: an abstract socket of the host, as a stream, as packets, and by a datagram
// refused: ECONNREFUSED EPERM EPROTOTYPE
// record: control network
// proof: bare
#include "attack.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(void) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *name = aim("AIM_ABSTRACT");
    strncpy(at.sun_path + 1, name, sizeof at.sun_path - 2);
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
    int kinds[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    for (int i = 0; i < 3; i++)
        attempt("connect", connect(socket(AF_UNIX, kinds[i], 0), (struct sockaddr *)&at, size));
    return verdict();
}
