# promise: 7
# tries: finding any device, address or route but the own loopback
# refused: none-found
# record: control network
# proof: weakened own-address
import socket
from attack import refused_as, succeeded, verdict

with open("/proc/net/dev") as table:
    devices = {line.split(":")[0].strip() for line in table if ":" in line} - {"lo"}
if devices:
    succeeded(f"devices {sorted(devices)}")
with open("/proc/net/route") as table:
    if len(table.readlines()) > 1:
        succeeded("a route")
with open("/proc/net/fib_trie") as table:
    strange = {line.split()[-1] for line in table if "|--" in line} - {"0.0.0.0", "127.0.0.0", "127.0.0.1", "127.255.255.255"}
if strange:
    succeeded(f"addresses {sorted(strange)}")
# Which address would be taken for the world; no packet is sent by this.
for target in ("169.254.169.254", "192.0.2.1", "10.0.0.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect((target, 53))
        except OSError:
            continue
        succeeded(f"{target} from {s.getsockname()[0]}")
refused_as("none-found")
verdict()
