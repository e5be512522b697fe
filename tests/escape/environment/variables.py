# promise: 4
# tries: variables of the caller, in its own environment and in that of every process it can see
# refused: none-found EACCES EPERM
# record: control environment
# proof: bare
import os
from attack import attempt, refused_as, succeeded, verdict

GIVEN = {"PATH", "LANG", "HOME", "AIDO_OUTPUTS", "AIDO_SANDBOX", "PWD", "LC_CTYPE"}
more = [name for name in os.environ if name not in GIVEN and not name.startswith("AIM_")]
if more:
    succeeded(f"variables {more}")
refused_as("none-found")
for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            if b"AIDO_E2E_LEAK" in file.read():
                succeeded(f"of process {pid}")
    except OSError as error:
        attempt(pid, lambda error=error: (_ for _ in ()).throw(error))
verdict()
