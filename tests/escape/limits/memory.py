# promise: 8
# tries: more memory than it was given, as ordinary pages
# refused: out_of_memory
# record: limit memory
# record: control memory
# needs: cgroups
# options: --memory 64MiB
# proof: bare
from attack import succeeded

held = [bytearray(b"x" * (1 << 20)) for _ in range(256)]
succeeded(f"{len(held)} MiB")
