# promise: 11
# tries: without namespaces: links, pipes, hard links and closed folders among the outputs
# refused: left-out
# record: omitted absolute
# record: omitted pipe
# record: collected plain
# options: --isolation landlock
# only: host this second mechanism has no image roots
# proof: bare
# judge: outputs
import os
from attack import aim

os.chdir(os.environ["AIDO_OUTPUTS"])
with open("plain", "w") as file:
    file.write("plain\n")
os.symlink(os.path.join(aim("HOME"), "secret"), "absolute")
os.symlink("../../../../runs/latest/events.log", "climbing")
os.mkfifo("pipe")
os.link("plain", "twin")
os.mkdir("shut", 0)
with open(b"escape\x1b[2J", "w") as file:
    file.write("x")
