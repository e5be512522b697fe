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
# As bytes, in pieces: links and the clipboard, a lone C1 control, a character that is cut in two, marks of other blocks.
pieces = (b"\x1b", b"]8;;http://evil\x07click\x1b]8;;\x07 \x1b]52;c;aGk=\x07", b"\x9b", b"31m \xe2", b"\x80", b"\xae", "\u061c\u2066\U000e0041".encode(), b"\n")
for descriptor in (1, 2):
    for piece in pieces:
        os.write(descriptor, piece)
# What aido itself repeats when it explains.
print("cat: /home/x/\x1b]52;c;aGk=\x07\u202e: No such file or directory", file=sys.stderr, flush=True)
for name in (b"\x1b[31mred\x1b[0m", b"bell\x07", "turned\u202egpj".encode()):
    with open(name, "wb") as file:
        file.write(b"x")
