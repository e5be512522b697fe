# promise: 4
# tries: without namespaces: hidden inputs beside those that are shown, by every name that leads to them
# refused: EACCES EPERM ENOENT ELOOP ENOTDIR
# record: hidden .env
# record: hidden folder/.env
# record: control read-only
# options: --isolation landlock
# only: host this second mechanism has no image roots
# proof: bare
import os
from attack import aim, attempt, read_some, verdict

project = aim("PROJECT")
names = [".env", "folder/.env", ".git/config", "folder/../.env", "input/../.env", "folder/../folder/.env"]
for link in ("input", "folder", "folder/inner", "case.py", "attack.py"):
    try:
        target = os.path.realpath(link)
    except OSError:
        continue
    names += [f"{os.path.dirname(target)}/.env", f"{target}/.env", f"{os.path.dirname(target)}/.git/config"]
for name in names + [f"{project}/{name}" for name in names]:
    attempt(name, lambda name=name: read_some(name))
verdict()
