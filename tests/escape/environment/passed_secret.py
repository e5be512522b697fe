# promise: 4
# tries: finding a secret that was passed on to it anywhere but in its own environment: other processes, the record
# refused: none-found EACCES EPERM ENOENT
# record: unsaid the caller's own
# record: control environment
# options: -e AIDO_E2E_LEAK
# proof: weakened open-init
#
# In `open-init` the first process has it in its environment too.
import os
from attack import attempt, refused_as, succeeded, verdict

SECRET = b"the caller's own"
if os.environ.get("AIDO_E2E_LEAK", "").encode() != SECRET:
    raise SystemExit("it was not passed on")
for pid in [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]:
    for name in ("environ", "cmdline"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                if SECRET in file.read():
                    succeeded(f"{name} of process {pid}")
        except OSError as error:
            attempt(pid, lambda error=error: (_ for _ in ()).throw(error))
for folder in (".aido", "/workspace/.aido", "/outputs", "/tmp"):
    for base, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(base, name), "rb") as file:
                if SECRET in file.read():
                    succeeded(os.path.join(base, name))
refused_as("none-found")
verdict()
