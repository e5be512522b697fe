# promise: 9
# tries: stopped processes, which see no SIGTERM, one of them held by a tracer that is stopped itself
# refused: gone
# record: end deadline
# options: --ttl 1s
# proof: bare
# judge: survivor
# within: 40
import ctypes
import os
import signal
import time

libc = ctypes.CDLL(None)
if os.fork() == 0:
    os.setsid()
    traced = os.fork()
    if traced == 0:
        time.sleep(300)
        os._exit(0)
    libc.ptrace(16, traced, 0, 0)   # attach
    os.waitpid(traced, 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(300)
for _ in range(3):
    if (child := os.fork()) == 0:
        os.setsid()
        time.sleep(300)
        os._exit(0)
    os.kill(child, signal.SIGSTOP)
time.sleep(4)
