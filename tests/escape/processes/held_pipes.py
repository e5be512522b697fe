# promise: 9
# tries: a child that keeps the task's output open, so that the caller waits for its end for ever
# refused: gone
# record: end exited 0
# proof: bare
# judge: survivor
# within: 40
import os
import signal
import time

for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCONT):
            signal.signal(number, signal.SIG_IGN)
        end = time.monotonic() + 300
        while time.monotonic() < end:
            time.sleep(0.5)
            try:
                os.write(1, b"still here\n")
            except OSError:
                pass
        os._exit(0)
