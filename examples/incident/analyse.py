#!/usr/bin/env python3
"""When did the errors begin, which service was first, and what did it say?"""

import collections
import pathlib
import re

LINE = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?P<level>[A-Z]+) (?P<text>.*)")


def entries(folder):
    """(time, service, level, text) of every line that is one; how many were not."""
    found, odd = [], 0
    for file in sorted(folder.glob("*.log")):
        for line in file.read_text(errors="replace").splitlines():
            if match := LINE.fullmatch(line):
                found.append((match["time"], file.stem, match["level"], match["text"]))
            else:
                odd += 1
    return sorted(found), odd


def report(found, odd):
    errors = [e for e in found if e[2] == "ERROR"]
    if not errors:
        return "# No errors\n"
    time, service, _, text = errors[0]
    counts = collections.Counter(e[1] for e in errors)
    lines = ["# What happened", "", f"The first error came from **{service}** at {time}: `{text}`", "", "| service | errors |", "| --- | --- |"]
    lines += [f"| {name} | {count} |" for name, count in counts.most_common()]
    lines += ["", f"{len(found)} lines read, {odd} not understood."]
    return "\n".join(lines) + "\n"


text = report(*entries(pathlib.Path("inputs")))
pathlib.Path("report.md").write_text(text)
print(text.splitlines()[2] if "\n\n" in text else text.strip())
