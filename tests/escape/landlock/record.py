# promise: 12
# tries: without namespaces: its own record, which lies a few folders above the one it may write in
# refused: EACCES EPERM ENOENT
# record: control read-only
# options: --isolation landlock
# only: host this second mechanism has no image roots
# proof: bare
import os
from attack import OUT, aim, attempt, verdict


def append(path):
    def run():
        with open(path, "ab") as file:
            file.write(b"{}\n")
    return run


above = os.path.dirname(os.path.realpath(OUT))
for _ in range(8):
    for name in ("ledger.jsonl", "state.json", "plan.json", "runs/latest/events.log", "runs/latest/stdout.log", "mine"):
        attempt(name, append(f"{above}/{name}"))
    attempt("listing", lambda above=above: os.listdir(above))
    above = os.path.dirname(above)
base = aim("PROJECT") + "/.aido"
for name in ("ledger.jsonl", "sandboxes/latest/state.json", "sandboxes/latest/runs/latest/events.log"):
    attempt(name, append(f"{base}/{name}"))
    attempt("removing", lambda name=name: os.unlink(f"{base}/{name}"))
    attempt("moving", lambda name=name: os.rename(f"{base}/{name}", f"{OUT}/stolen"))
verdict()
