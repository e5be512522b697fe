# promise: 7
# tries: asking the host's name servers, those of its settings and those that listen on loopback
# refused: ECONNREFUSED ENETUNREACH none-named
# record: control network
# proof: bare
#
# Outside the listener of the tests stands for a name server: a packet is taken from it.
import socket
import time
from attack import aim, attempt, refused_as, verdict

servers = [("127.0.0.1", int(aim("UDP"))), ("127.0.0.53", 53), ("127.0.0.54", 53), ("127.0.0.11", 53)]
try:
    with open("/etc/resolv.conf") as settings:
        servers += [(line.split()[1], 53) for line in settings if line.startswith("nameserver") and "." in line]
except OSError:
    refused_as("none-named")


def ask(address):
    def run():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            s.connect(address)
            for _ in range(3):
                s.send(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01")
                time.sleep(0.05)
    return run


for address in servers:
    attempt(address[0], ask(address))
verdict()
