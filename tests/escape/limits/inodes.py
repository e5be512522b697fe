# promise: 8
# tries: more files than the disk bound allows: files, folders, links, pipes, without a byte in them
# refused: ENOSPC
# record: control disk
# options: --disk 1MiB
# proof: bare
import os
import shutil
from attack import aim, attempt, verdict

place = os.path.join(aim("TMP"), "many")
os.mkdir(place)


def many(make):
    def run():
        try:
            for number in range(3000):
                make(f"{place}/{number}")
        finally:
            shutil.rmtree(place, ignore_errors=True)
            os.mkdir(place)
    return run


attempt("files", many(lambda path: os.close(os.open(path, os.O_CREAT))))
attempt("folders", many(os.mkdir))
attempt("links", many(lambda path: os.symlink("x" * 200, path)))
attempt("pipes", many(os.mkfifo))
verdict()
