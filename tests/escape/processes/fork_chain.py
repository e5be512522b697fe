# promise: 9
# tries: running away from its killer: a chain of processes, each of which forks and ends at once
# refused: gone
# record: end exited 0
# proof: bare
# judge: survivor
# within: 40
import os
import time

if os.fork() == 0:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
        os.setsid()
        time.sleep(0.05)
    os._exit(0)
time.sleep(0.3)
