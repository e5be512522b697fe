# promise: 7
# tries: a UDP socket on the host's loopback
# refused: ECONNREFUSED ENETUNREACH
# record: control network
# proof: bare
import socket
import time
from attack import aim, attempt, verdict


def reach():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", int(aim("UDP"))))
        # Where nobody listens the answer to the first is the error of the second.
        for _ in range(3):
            s.send(b"x")
            time.sleep(0.05)


attempt("udp", reach)
verdict()
