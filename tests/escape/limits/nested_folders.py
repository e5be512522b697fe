# promise: 8
# tries: folders in folders in a writable place, thousands deep, so that nobody can remove them
# refused: bounded removed ENOSPC ENAMETOOLONG
# record: control disk
# record: end exited 1
# options: --disk 1MiB
# proof: bare
# within: 40
import os
from attack import aim, attempt, refused_as, verdict

os.chdir(aim("TMP"))


def deep():
    for _ in range(2000):
        os.mkdir("d")
        os.chdir("d")


attempt("2000 levels", deep)
refused_as("bounded")
verdict()
