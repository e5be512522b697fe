"""refusing.py CALL COMMAND... - runs a command in which one system call answers EPERM, as outer sandboxes do."""
import ctypes
import os
import platform
import struct
import sys

# x86_64 and everybody else, who has one table for all.
NUMBERS = {
    "seccomp": (317, 277), "pivot_root": (155, 41), "mount_setattr": (442, 442), "setsid": (112, 157),
    "sethostname": (170, 161), "prlimit64": (302, 261), "capset": (126, 91),
}
number = NUMBERS[sys.argv[1]][platform.machine() != "x86_64"]
# ld [nr]; jeq number ? errno : allow
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
filters = b"".join(struct.pack("HBBI", *line) for line in code)
buffer = ctypes.create_string_buffer(filters)
program = struct.pack("H6xP", len(code), ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
