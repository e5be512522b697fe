# promise: 7
# tries: building a network: addresses, routes, tunnels, firewall rules
# refused: EPERM EACCES ENOENT EROFS EPROTONOSUPPORT ENOPROTOOPT
# record: control network
# proof: weakened capable
#
# All of it needs a capability, which `capable` leaves to the task.
import fcntl
import os
import socket
import struct
from attack import attempt, verdict

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton("10.11.12.13"))
attempt("an address", lambda: fcntl.ioctl(s, 0x8916, b"lo".ljust(16, b"\0") + address + bytes(8)))
attempt("a device up", lambda: fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", b"lo", 1)))
zero = struct.pack("HH4s8x", socket.AF_INET, 0, bytes(4))
attempt("a route", lambda: fcntl.ioctl(s, 0x890B, bytes(8) + zero + address + zero + struct.pack("H62x", 3)))
attempt("a bridge", lambda: fcntl.ioctl(s, 0x89A0, b"aidobr0\0"))
attempt("a tunnel", lambda: os.close(os.open("/dev/net/tun", os.O_RDWR)))
attempt("firewall", lambda: s.setsockopt(socket.IPPROTO_IP, 64, bytes(84)))
attempt("forwarding", lambda: os.close(os.open("/proc/sys/net/ipv4/ip_forward", os.O_WRONLY)))
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
# A dummy device by RTM_NEWLINK.
body = struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0)
body += struct.pack("=HH", 12, 3) + b"aido-du\0"
kind = struct.pack("=HH", 9, 1) + b"dummy\0\0\0"
body += struct.pack("=HH", 4 + len(kind), 18) + kind


def by_netlink():
    netlink.send(struct.pack("=IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
    answer = -struct.unpack_from("=i", netlink.recv(4096), 16)[0]
    if answer:
        raise OSError(answer, "")


attempt("a device by netlink", by_netlink)
verdict()
