# promise: 9
# tries: without namespaces: running away from its killer, a chain of processes of which each forks and ends at once
# refused: gone
# record: end exited 0
# options: --isolation landlock
# only: host this second mechanism has no image roots
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
