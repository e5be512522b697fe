# promise: 11
# tries: folders in folders, deeper than any path may be long
# refused: left-out
# record: omitted d
# record: collected plain
# proof: bare
# judge: outputs
# within: 40
import os

os.chdir(os.environ["AIDO_OUTPUTS"])
with open("plain", "w") as file:
    file.write("plain\n")
for _ in range(300):
    os.mkdir("d" * 30, 0o755)
    os.chdir("d" * 30)
with open("bottom", "w") as file:
    file.write("x")
