# promise: 12
# tries: printing events and a summary of its own, as chained lines, on both streams
# refused: not-in-record
# record: end exited 7
# proof: weakened one-stream
# judge: forged
#
# `one-stream` keeps the task's words and the record's in one file, as logs of services do.
import hashlib
import json
import os
import sys

prev = "0" * 64
for seq, (kind, data) in enumerate([("begun", {}), ("forged", {"by": "the task"}), ("outcome", {"outcome": {"end": {"reason": "exited", "code": 0}}})]):
    record = {"v": 1, "seq": seq, "time": "2030-01-01T00:00:00.000000Z", "mono_ms": 1, "type": kind, "data": data, "prev": prev}
    body = json.dumps(record, separators=(",", ":"))[:-1]
    prev = hashlib.sha256(body.encode()).hexdigest()
    for stream in (1, 2):
        os.write(stream, f'\n{body},"hash":"{prev}"}}\n'.encode())
print('{"version":1,"outcome":{"end":{"reason":"exited","code":0}},"exit_code":0}')
print("aido: exit 0 after 1ms", file=sys.stderr)
sys.exit(7)
