"""Whether a task that killed itself is taken for one that the memory limit ended: by its status (137) alone it must be."""
import json
import os

reason = "out_of_memory" if os.environ["JUDGE_STATUS"] in ("137", "none") else "exited"
if os.environ["JUDGE_WHERE"] == "aido":
    with open(os.path.join(os.environ["JUDGE_RUN"], "summary.json")) as file:
        reason = json.load(file)["outcome"]["end"]["reason"]
print("REFUSED told-apart" if reason == "signalled" else f"SUCCEEDED {reason}")
