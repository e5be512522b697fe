import fcntl
import os
import socket
import struct
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for name, number in ((b"lo", "127.0.0.1"), (b"lo:1", "169.254.169.254")):
    address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(number))
    fcntl.ioctl(s, 0x8916, name.ljust(16, b"\0") + address + bytes(8))
    fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", name, 0x49))
listener = socket.create_server(("169.254.169.254", 80))
os.set_inheritable(listener.fileno(), True)
os.execvp(sys.argv[1], sys.argv[1:])
