"""Whether more than 64 KiB of a stream was kept."""
import os

where = os.environ["JUDGE_WHERE"]
if where == "aido":
    sizes = [os.path.getsize(os.path.join(os.environ["JUDGE_RUN"], name)) for name in ("stdout.log", "stderr.log")]
    sizes.append(os.path.getsize(os.environ["JUDGE_STDOUT"]))
else:
    sizes = [os.path.getsize(os.environ["JUDGE_STDOUT"])]
print(f"SUCCEEDED {max(sizes)} bytes were kept" if max(sizes) > 65536 else "REFUSED bounded")
