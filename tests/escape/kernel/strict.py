# promise: 2
# tries: under the strict profile: sockets, tracing, memfd, real-time signals, identities, raw terminals
# refused: EPERM ENOSYS
# record: call socket
# record: call ptrace
# record: call memfd_create
# record: call setuid|setresuid
# record: control syscalls
# options: --syscalls strict
# proof: bare
import fcntl
import os
import socket
from attack import attempt, called, libc, verdict

attempt("a socket", lambda: socket.socket(socket.AF_INET).close())
attempt("a unix socket", lambda: socket.socket(socket.AF_UNIX).close())
attempt("tracing", lambda: called(libc.ptrace(0, 0, 0, 0)))
attempt("a memfd", lambda: os.close(os.memfd_create("x")))
attempt("an identity", lambda: os.setuid(os.getuid()))
attempt("a device", lambda: os.mknod("/tmp/node", 0o10600))
attempt("its own filter", lambda: called(libc.prctl(22, 1, 0, 0, 0)))
attempt("a terminal's settings", lambda: fcntl.ioctl(0, 0x5402, bytes(64)))
verdict()
