# promise: 9
# tries: outliving the time limit with every signal ignored, blocked and handled
# refused: gone
# record: end deadline
# record: control deadline
# options: --ttl 1s
# proof: bare
# judge: survivor
# within: 40
import os
import signal
import time

if os.fork():
    time.sleep(4)   # Outside nobody sets a limit: then the task's own end must not end its child.
    os._exit(0)
os.setsid()
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, set(range(1, 65)))
time.sleep(300)
