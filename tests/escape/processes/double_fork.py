# promise: 9
# tries: the classic daemon: fork, new session, fork, other folder, closed descriptors, as init's child
# refused: gone
# record: end exited 0
# proof: bare
# judge: survivor
# within: 40
import os
import signal
import time

for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        os.closerange(0, 256)
        time.sleep(300)
        os._exit(0)
time.sleep(0.2)
