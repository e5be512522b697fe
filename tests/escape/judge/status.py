"""Whether the exit status is another one than the task's own, which is 9."""
import json
import os

status = os.environ["JUDGE_STATUS"]
if os.environ["JUDGE_WHERE"] == "aido":
    with open(os.path.join(os.environ["JUDGE_RUN"], "summary.json")) as file:
        status = status if json.load(file)["exit_code"] == 9 else "another in the summary"
print("REFUSED true-status" if status == "9" else f"SUCCEEDED {status}")
