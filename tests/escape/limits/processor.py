# promise: 8
# tries: more processor time than it was given, with several processes
# refused: held-back
# record: control cpus
# needs: cgroups
# options: --cpus 0.2
# proof: bare
import os
import time
from attack import refused_as, succeeded, verdict

# A fifth of a processor is a fifth of a second each time, and a tenth more at most. Elsewhere a busy machine may need
# some rounds before it gives more.
for _ in range(6):
    before, end = os.times(), time.monotonic() + 1
    children = []
    for _ in range(8):
        if (pid := os.fork()) == 0:
            while time.monotonic() < end:
                pass
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    if used > 0.45:
        succeeded(f"{used:.2f} s of processor time in one")
refused_as("held-back")
verdict()
