# promise: 3
# tries: where the links of aido's first process lead: exe, cwd, root, descriptors, mapped files, namespaces
# refused: EACCES EPERM ENOENT none-listed
# record: control processes
# proof: weakened open-init
import os
from attack import attempt, refused_as, verdict

for base in ("/proc/1", "/proc/1/task/1"):
    for name in ("exe", "cwd", "root"):
        attempt(name, lambda path=f"{base}/{name}": os.readlink(path))
        attempt(name + " opened", lambda path=f"{base}/{name}": os.close(os.open(path, os.O_RDONLY)))
    for name in ("fd", "map_files", "ns"):
        try:
            entries = os.listdir(f"{base}/{name}")
        except OSError as error:
            attempt(name, lambda error=error: (_ for _ in ()).throw(error))
            continue
        refused_as("none-listed")
        for entry in entries:
            attempt(f"{name}/{entry}", lambda path=f"{base}/{name}/{entry}": os.readlink(path))
            attempt(f"{name}/{entry} opened", lambda path=f"{base}/{name}/{entry}": os.close(os.open(path, os.O_RDONLY)))
attempt("through its root", lambda: os.listdir("/proc/1/root/"))
attempt("through its folder", lambda: os.listdir("/proc/1/cwd/.."))
verdict()
