# promise: 9
# tries: without namespaces: scratch that cannot be removed afterwards, or whose removal follows links out
# refused: cleaned
# record: end exited 0
# options: --isolation landlock
# only: host this second mechanism has no image roots
# proof: bare
# judge: litter
# within: 60
import os
from attack import aim

for place in (aim("TMP"), os.environ["HOME"]):
    os.chdir(place)
    os.symlink(aim("HOME"), "litter-link")
    os.mkdir("litter-shut", 0)
    os.mkdir("litter-deep")
    os.chdir("litter-deep")
    for _ in range(1500):
        os.mkdir("d" * 20)
        os.chdir("d" * 20)
    with open("bottom", "w") as file:
        file.write("x")
