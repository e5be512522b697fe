# promise: 7
# tries: the address where clouds keep secrets, 169.254.169.254, and a name server there
# refused: ENETUNREACH EHOSTUNREACH
# record: control network
# proof: weakened own-address
#
# `own-address` has that address on a loopback of its own, with a listener.
import socket
from attack import attempt, verdict


def reach(kind, port):
    def run():
        with socket.socket(socket.AF_INET, kind) as s:
            s.settimeout(3)
            s.connect(("169.254.169.254", port))
            s.send(b"GET /latest/meta-data/ HTTP/1.0\r\n\r\n")
    return run


attempt("metadata", reach(socket.SOCK_STREAM, 80))
attempt("names", reach(socket.SOCK_DGRAM, 53))
verdict()
