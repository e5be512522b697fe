# promise: 7
# tries: a TCP listener on the host's loopback, under all its names
# refused: ECONNREFUSED ENETUNREACH EADDRNOTAVAIL EHOSTUNREACH EAFNOSUPPORT EINVAL
# record: control network
# proof: bare
import socket
from attack import aim, attempt, verdict

for family, name in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.1.2.3"), (socket.AF_INET, "0.0.0.0"),
                     (socket.AF_INET6, "::ffff:127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::")):
    def reach(family=family, name=name):
        with socket.socket(family) as s:
            s.settimeout(3)
            s.connect((name, int(aim("TCP"))))
    attempt(name, reach)
verdict()
