# promise: 3
# tries: what aido's first process was given: environment, command line, auxiliary vector, maps, stack, limits it runs by
# refused: EACCES EPERM ENOENT ENODATA wiped
# record: control processes
# proof: weakened open-init
#
# A file that opens and is empty (ENODATA) tells nothing.
from attack import attempt, read_some, refused_as, succeeded, verdict

# Its command line anybody may read: aido has written a plain name over it.
with open("/proc/1/cmdline", "rb") as line:
    if line.read().strip(b"\0") != b"aido-init":
        succeeded("the command line")
refused_as("wiped")
for base in ("/proc/1", "/proc/1/task/1"):
    for name in ("environ", "auxv", "maps", "smaps", "pagemap", "stack", "syscall", "io", "numa_maps", "personality"):
        attempt(f"{base}/{name}", lambda path=f"{base}/{name}": read_some(path))
verdict()
