# promise: 12
# tries: driving the terminal of who looks: escape sequences in output and names, replayed by logs and show
# refused: made-visible
# record: end exited 0
# proof: bare
# judge: terminal
import os
import sys

os.chdir(os.environb[b"AIDO_OUTPUTS"])
for stream in (sys.stdout, sys.stderr):
    stream.write("\x1b]0;owned\x07\x1b[2J\x1b[1;1Hroot@host:~# \x1b[8mhidden\x1b[0m\x1bc \x9b31m \u202egnp.exe\n")
    stream.flush()
for name in (b"\x1b[31mred\x1b[0m", b"bell\x07", "turned\u202egpj".encode()):
    with open(name, "wb") as file:
        file.write(b"x")
