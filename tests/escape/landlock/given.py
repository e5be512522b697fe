# promise: 4
# tries: without namespaces: descriptors and variables of the caller
# refused: EBADF none-found
# record: control environment
# options: --isolation landlock
# only: host this second mechanism has no image roots
# proof: bare
import os
from attack import attempt, refused_as, succeeded, verdict

GIVEN = {"PATH", "LANG", "HOME", "TMPDIR", "PYTHONPATH", "AIDO_OUTPUTS", "AIDO_SANDBOX", "PWD", "LC_CTYPE"}
more = [name for name in os.environ if name not in GIVEN and not name.startswith("AIM_")]
if more:
    succeeded(f"variables {more}")
refused_as("none-found")
for fd in range(3, 64):
    attempt(str(fd), lambda fd=fd: os.fstat(fd))
verdict()
