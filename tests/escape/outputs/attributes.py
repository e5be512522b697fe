# promise: 11
# tries: extended attributes on outputs, by which desktops and tools are told what to do
# refused: left-out
# record: collected marked
# proof: bare
# judge: outputs
# lacks: left-out
#
# Where the file systems have no such attributes nothing can come along.
import os

os.chdir(os.environ["AIDO_OUTPUTS"])
with open("marked", "w") as file:
    file.write("x")
os.chmod("marked", 0o644)
for name in ("user.run", "user.xdg.origin.url"):
    try:
        os.setxattr("marked", name, b"now")
    except OSError:
        pass
