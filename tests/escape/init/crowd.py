# promise: 3
# tries: seeing any process but its own and aido's first
# refused: none-seen
# record: control processes
# proof: bare
import os
from attack import refused_as, succeeded, verdict

me = {1, os.getpid(), os.getppid()}
seen = {int(name) for name in os.listdir("/proc") if name.isdigit()} - me
if seen:
    succeeded(f"processes {sorted(seen)[:5]}")
# A number that is not listed may still answer.
for pid in range(2, 40000):
    if pid in me:
        continue
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        continue
    except PermissionError:
        pass
    succeeded(f"process {pid}")
refused_as("none-seen")
verdict()
