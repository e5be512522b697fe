# promise: 7
# tries: without namespaces: every way to the host's sockets
# refused: EPERM EACCES
# record: call socket
# record: control network
# options: --isolation landlock
# only: host this second mechanism has no image roots
# proof: bare
import socket
from attack import aim, attempt, verdict


def reach(family, kind, address):
    def run():
        with socket.socket(family, kind) as s:
            s.settimeout(3)
            s.connect(address)
    return run


attempt("tcp", reach(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", int(aim("TCP")))))
attempt("udp", reach(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", int(aim("UDP")))))
attempt("a name", reach(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + aim("ABSTRACT")))
attempt("a file", reach(socket.AF_UNIX, socket.SOCK_STREAM, aim("SOCKET")))
attempt("a file of the project", reach(socket.AF_UNIX, socket.SOCK_STREAM, aim("PROJECT") + "/folder/socket"))


def paired():
    # A pair's end can be connected anew where it is a datagram's.
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.connect(aim("SOCKET"))


attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close())
attempt("a listener", lambda: socket.create_server(("127.0.0.1", 0)).close())
verdict()
