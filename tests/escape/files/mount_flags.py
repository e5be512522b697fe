# promise: 5
# tries: finding a mount that is writable beyond the promised places, or lends set-user-id bits or devices
# refused: none-found
# record: control read-only
# proof: bare
from attack import refused_as, succeeded, verdict

WRITABLE = ("/tmp", "/outputs", "/home/aido", "/dev/shm", "/dev/pts", "/dev/ptmx")
with open("/proc/self/mountinfo") as table:
    for line in table:
        fields = line.split()
        at, options = fields[4], set(fields[5].split(","))
        if "nosuid" not in options:
            succeeded(f"{at} is not nosuid")
        if "nodev" not in options and not at.startswith("/dev/"):
            succeeded(f"{at} is not nodev")
        if "ro" not in options and not at.startswith(WRITABLE):
            succeeded(f"{at} is writable")
refused_as("none-found")
verdict()
