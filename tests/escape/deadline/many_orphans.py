# promise: 9
# tries: keeping aido's first process busy with orphans while the time limit passes
# refused: gone
# record: end deadline
# options: --ttl 2s
# proof: bare
# judge: survivor
# within: 40
import os
import time

if os.fork() == 0:
    os.setsid()
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if (child := os.fork()) == 0:
            for _ in range(5):
                if os.fork() == 0:
                    os._exit(0)
            os._exit(0)
        os.waitpid(child, 0)
        if "AIDO_SANDBOX" not in os.environ:
            time.sleep(0.2)     # Outside it is the host's first process that reaps them.
    time.sleep(300)
time.sleep(5)
