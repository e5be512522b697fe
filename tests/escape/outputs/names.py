# promise: 11
# tries: names with line ends, escape sequences, marks that turn text round, bytes that are no text
# refused: left-out
# record: omitted line
# record: omitted escape
# record: omitted turned
# record: collected plain
# proof: bare
# judge: outputs
import os

os.chdir(os.environb[b"AIDO_OUTPUTS"])
for name in (b"line\nend", b"escape\x1b[2J\x1b]0;title\x07", b"bell\x07", "turned\u202egpj.exe".encode(), b"back\x08\x08",
             b"\xff\xfe\x80", b"return\rreturn", b"\x1b", b"tab\there", "isolate\u2066x\u2069".encode()):
    with open(name, "wb") as file:
        file.write(b"x")
for name in ("plain", "..plain", "-rf", "a b", "$(true)", "back\\slash", "...", "~", "NUL", "con.txt"):
    with open(name, "w") as file:
        file.write("x")
    os.chmod(name, 0o644)
