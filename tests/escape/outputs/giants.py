# promise: 11
# tries: a sparse file of a terabyte, which fills the caller's disk when it is copied
# refused: left-out
# record: omitted giant
# record: collected plain
# options: --disk 16MiB
# proof: bare
# judge: outputs
# within: 40
import os

os.chdir(os.environ["AIDO_OUTPUTS"])
with open("giant", "wb") as file:
    os.truncate(file.fileno(), 1 << 40)
with open("plain", "w") as file:
    file.write("plain\n")
os.chmod("giant", 0o644)
