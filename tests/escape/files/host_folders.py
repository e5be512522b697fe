# promise: 4
# tries: whole trees of the host: /home, /run, /var, /root, /mnt, /boot, /sys
# refused: ENOENT EACCES empty
# record: control files
# proof: bare
#
# An image may have empty folders of these names; what counts is whether something is in them.
import os
from attack import attempt, refused_as, succeeded, verdict

OWN = {"aido"}  # the task's own home
for folder in ("/home", "/run", "/root", "/mnt", "/media", "/boot", "/sys", "/var/run", "/var/log/journal"):
    try:
        found = set(os.listdir(folder)) - OWN
    except OSError:
        attempt(folder, lambda folder=folder: os.listdir(folder))
        continue
    # Debian's own skeleton, as it lies in every image.
    found -= {".bashrc", ".profile", "lock", "mount", "shm"}
    if found:
        succeeded(f"{folder}: {sorted(found)[:3]}")
    refused_as("empty")
verdict()
