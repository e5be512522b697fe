# promise: 4
# tries: without namespaces: contents of the home, of the project by its path, of /etc, through links, /proc and folders
# refused: EACCES EPERM ENOENT ELOOP EXDEV
# record: control read-only
# options: --isolation landlock
# only: host this second mechanism has no image roots
# proof: bare
import os
from attack import aim, attempt, read_some, verdict

home, project = aim("HOME"), aim("PROJECT")
paths = [f"{home}/secret", f"{home}/.ssh/id_ed25519", "leads-out", "folder/climbs-out", "/proc/1/environ",
         f"/proc/{aim('PID')}/environ", f"/proc/{aim('PID')}/cmdline", f"/proc/self/root{home}/secret",
         f"/proc/self/cwd/{'../' * 20}{home}/secret", "/etc/shadow", "/etc/machine-id", "/proc/kallsyms", "/dev/kmsg"]
for path in paths:
    attempt(path, lambda path=path: read_some(path))
for folder in (home, f"{home}/.ssh", f"{project}/.aido", "/root", "/home", "/tmp", "/var/log", "/proc", "/run"):
    attempt(folder, lambda folder=folder: os.listdir(folder))
# A descriptor that was only looked at, opened anew; a folder that it stands in.
through = os.open(f"{home}/secret", os.O_PATH)
attempt("through a path descriptor", lambda: read_some(f"/proc/self/fd/{through}"))
at = os.open(home, os.O_PATH)
attempt("beneath a folder", lambda: os.close(os.open("secret", os.O_RDONLY, dir_fd=at)))
os.fchdir(at)
attempt("from inside", lambda: read_some("secret"))
attempt("run it", lambda: os.execv(f"{home}/secret", ["secret"]))
verdict()
