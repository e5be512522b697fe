"""The two-command start: install aido, then `aido run hello.py` in this folder."""

import os
import pathlib
import platform
import sys

name = sys.argv[1] if len(sys.argv) > 1 else "world"
print(f"hello, {name}, from Python {platform.python_version()} in a sandbox")

# /outputs is always writable; what lies there is collected when the run is over.
outputs = pathlib.Path(os.environ["AIDO_OUTPUTS"])
(outputs / "hello.txt").write_text(f"hello, {name}\n")
