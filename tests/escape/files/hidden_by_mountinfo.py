# promise: 4
# tries: hidden inputs by the paths that the mount table names, and by overlay's lower layers
# refused: ENOENT EACCES ENOTDIR EPERM
# record: hidden .env
# record: control files
# proof: bare
import os
import re
from attack import aim, attempt, read_some, verdict

places = {aim("PROJECT"), "/proc/fs"}
with open("/proc/self/mountinfo") as table:
    for line in table:
        fields = line.split()
        places.add(fields[3])
        for option in re.findall(r"(?:lowerdir\+?|upperdir|workdir|datadir\+?)=([^,]*)", line):
            places.update(option.replace("\\:", "\0").split(":"))
for fd in range(3, 64):
    places |= {f"/proc/self/fd/{fd}", f"/proc/1/fd/{fd}"}
for place in sorted(places - {"/"}):
    for name in (".env", ".git/config", "project/.env"):
        attempt(f"{place}/{name}", lambda path=f"{place}/{name}": read_some(path))
verdict()
