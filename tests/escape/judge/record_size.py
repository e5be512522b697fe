"""Whether the record of refused calls grows with them: 4,000 may not fill more than a quarter of a megabyte."""
import os

if os.environ["JUDGE_WHERE"] == "aido":
    files = [os.path.join(os.environ["JUDGE_RUN"], name) for name in ("events.log", "summary.json")]
else:
    files = [os.environ["JUDGE_STDOUT"]]
sizes = [os.path.getsize(path) for path in files]
print(f"SUCCEEDED {sizes} bytes" if max(sizes) > 256 << 10 else "REFUSED bounded")
