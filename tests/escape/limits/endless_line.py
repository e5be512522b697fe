# promise: 8
# tries: an output without a line end, far over what is kept
# refused: bounded
# record: limit output
# record: control output
# yaml: resources: {output: 64KiB}
# proof: bare
# judge: kept
# within: 40
import os

for _ in range(64):
    os.write(1, b"x" * 65536)
