# promise: 12
# tries: writing to its own record: through the project, by its host path, by making a .aido of its own
# refused: ENOENT EROFS EACCES ENOTDIR
# record: control read-only
# proof: bare
#
# Outside it appends to the true record of the runs before.
import glob
import os
from attack import aim, attempt, verdict


def append(path):
    def run():
        with open(path, "ab") as file:
            file.write(b"{}\n")
    return run


attempt("reading it", lambda: os.listdir(".aido"))
attempt("a folder of its own", lambda: os.mkdir(".aido/sandboxes/mine"))
for base in (".", aim("PROJECT"), "/proc/self/cwd"):
    attempt("ledger", append(f"{base}/.aido/ledger.jsonl"))
    for path in glob.glob(f"{base}/.aido/sandboxes/*/runs/*/*"):
        attempt("a run", append(path))
attempt("a new .aido", lambda: os.mkdir(".aido"))
verdict()
