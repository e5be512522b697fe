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

end = time.monotonic() + 1.5
children = []
for _ in range(3):
    if (pid := os.fork()) == 0:
        while time.monotonic() < end:
            pass
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
used = os.times()
used = used.children_user + used.children_system
# 0.2 processors for a second and a half are 0.3 s; one processor that others use too still gives more than half.
if used > 0.65:
    succeeded(f"{used:.2f} s of processor time")
refused_as("held-back")
verdict()
