# promise: 8
# tries: more processes than it was given
# refused: EAGAIN
# record: limit pids
# record: control pids
# needs: cgroups
# options: --pids 20
# proof: bare
import os
import signal
import time
from attack import attempt, verdict


def many():
    made = []
    try:
        for _ in range(60):
            if (pid := os.fork()) == 0:
                time.sleep(60)
                os._exit(0)
            made.append(pid)
    finally:
        for pid in made:
            os.kill(pid, signal.SIGKILL)


attempt("60 processes", many)
verdict()
