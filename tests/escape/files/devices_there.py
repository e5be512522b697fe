# promise: 4
# tries: device nodes of the host in /dev: disks, memory, consoles, kvm, fuse, tun, loop
# refused: none-but-harmless
# record: control files
# proof: bare
import os
import stat
from attack import refused_as, succeeded, verdict

HARMLESS = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
for folder, names, files in os.walk("/dev"):
    if folder.startswith(("/dev/pts", "/dev/fd", "/dev/shm")):
        continue
    for name in names + files:
        mode = os.lstat(os.path.join(folder, name)).st_mode
        if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and (folder != "/dev" or name not in HARMLESS):
            succeeded(os.path.join(folder, name))
refused_as("none-but-harmless")
verdict()
