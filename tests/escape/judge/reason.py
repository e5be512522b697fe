"""Whether an exit status is taken for an end of another kind: by its number alone it must be."""
import json
import os

LOOKS_LIKE = {"124": "deadline", "125": "refused", "126": "not_executable", "127": "not_found", "137": "out_of_memory"}
reason = LOOKS_LIKE.get(os.environ["JUDGE_STATUS"], "exited")
if os.environ["JUDGE_WHERE"] == "aido":
    with open(os.path.join(os.environ["JUDGE_RUN"], "summary.json")) as file:
        reason = json.load(file)["outcome"]["end"]["reason"]
print("REFUSED told-apart" if reason == "exited" else f"SUCCEEDED {reason}")
